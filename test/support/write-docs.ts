/**
 * `npm run docs`: writes protocol/README.md, the tables of README.md, the man page and the schema of configurations from
 * the declarations.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { renderProtocolReadme } from '../../protocol/readme.ts';
import { manPage } from '../../src/cli/text/man-page.ts';
import { configSchemaFile } from '../../src/control/config-schema-file.ts';
import { README, renderedReadme } from './readme-parts.ts';

writeFileSync(new URL('../../protocol/README.md', import.meta.url), renderProtocolReadme());
writeFileSync(README, renderedReadme());
mkdirSync(new URL('../../man', import.meta.url), { recursive: true });
writeFileSync(new URL('../../src/cli/text/vloop.1', import.meta.url), manPage());
writeFileSync(
  new URL('../../src/control/schema/vloop.config.schema.json', import.meta.url),
  configSchemaFile(),
);
