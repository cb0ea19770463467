/**
 * protocol/README.md is generated from the declarations: a change there that was not rendered fails
 * here, with the command that repairs it.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { allLayouts, renderProtocolReadme } from '../../protocol/readme.ts';

test('protocol/README.md is what the declarations say (else: npm run docs)', () => {
  const file = readFileSync(new URL('../../protocol/README.md', import.meta.url), 'utf8');
  expect(file).toBe(renderProtocolReadme());
});

test('every layout stands in the document', () => {
  const text = renderProtocolReadme();
  for (const [, { name, sizeBytes }] of allLayouts()) {
    expect(text).toContain(`### \`${name}\`: ${sizeBytes} bytes`);
  }
});
