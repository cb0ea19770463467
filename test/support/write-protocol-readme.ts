/**
 * `npm run docs`: writes protocol/README.md from the declarations.
 */
import { writeFileSync } from 'node:fs';
import { renderProtocolReadme } from '../../protocol/readme.ts';

writeFileSync(new URL('../../protocol/README.md', import.meta.url), renderProtocolReadme());
