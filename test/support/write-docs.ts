/**
 * `npm run docs`: writes protocol/README.md and README's table of options from the declarations.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { renderProtocolReadme } from '../../protocol/readme.ts';
import { optionsMarkdown } from '../../src/cli/options.ts';

writeFileSync(new URL('../../protocol/README.md', import.meta.url), renderProtocolReadme());

const readme = new URL('../../README.md', import.meta.url);
const [start, end] = ['<!-- options -->', '<!-- /options -->'];
const text = readFileSync(readme, 'utf8');
const before = text.slice(0, text.indexOf(start) + start.length);
const after = text.slice(text.indexOf(end));
writeFileSync(readme, `${before}\n${optionsMarkdown()}\n${after}`);
