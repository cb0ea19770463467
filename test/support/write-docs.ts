/**
 * `npm run docs`: writes protocol/README.md and the tables of README.md from the declarations.
 */
import { writeFileSync } from 'node:fs';
import { renderProtocolReadme } from '../../protocol/readme.ts';
import { README, renderedReadme } from './readme-parts.ts';

writeFileSync(new URL('../../protocol/README.md', import.meta.url), renderProtocolReadme());
writeFileSync(README, renderedReadme());
