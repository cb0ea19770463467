/**
 * Every option is to be found: in --help, and in README's table (conformance/readme-features.test.ts
 * compares that with the declarations).
 */
import { expect, test } from 'vitest';
import { helpOf } from '../../../src/cli/text/help.ts';
import { optionTable } from '../../../src/control/schema/options.ts';
import { readmePart } from '../../support/readme-parts.ts';

test.each(Object.keys(optionTable))('--%s is in --help and in README', (name) => {
  expect(helpOf('serve')).toContain(`--${name}`);
  expect(readmePart('options')).toContain(`--${name}`);
});
