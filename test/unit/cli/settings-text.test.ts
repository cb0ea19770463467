/**
 * What `vloop set` says for a person.
 */
import { expect, test } from 'vitest';
import { settingsText } from '../../../src/cli/verbs/settings-text.ts';

const STATUS = {
  offset: 1048576,
  size: 66060288,
  size_limit: 0,
  direct_io: false,
  direct_io_reason: 'switched off',
  autoclear: true,
};

test.each([
  [['autoclear'], 'a.img: autoclear on'],
  [['direct_io'], 'a.img: direct-io off (switched off)'],
  [['offset', 'size_limit'], 'a.img: offset 1048576, size-limit 0, size 66060288'],
])('%j', (asked, text) => {
  expect(settingsText(STATUS, 'a.img', asked)).toBe(text);
});
