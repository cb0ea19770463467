/**
 * vloop.config.schema.json: the form of a configuration as a JSON Schema of its own, for editors. The file is made from
 * the declarations (`npm run docs`), and a test compares.
 */
import { config } from './schema/disk-config.ts';

export function configSchemaFile(): string {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'vloop.config.json',
    description: 'Disks that vloop serves. Relative paths are relative to the file.',
    ...config,
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}
