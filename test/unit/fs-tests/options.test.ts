/**
 * The command line of fs-tests: what is taken, and that what is not is refused with one line that says what was expected.
 */
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../../qemu-examples/fs-tests/cases.ts';
import { settingsScript } from '../../../qemu-examples/fs-tests/image.ts';
import {
  helpText,
  optionTable,
  parseCommandLine,
} from '../../../qemu-examples/fs-tests/options.ts';

describe('what is asked', () => {
  test('without options the packaged suite runs', () => {
    const options = parseCommandLine([]);
    expect(options.suites).toEqual(['packaged']);
    expect(options).toMatchObject({ fileSystems: null, group: null, compare: false, tests: [] });
  });

  test('suites, file systems, a group, vloop options', () => {
    const options = parseCommandLine([
      ...['--suite=xfstests,blktests', '--fs', 'ext4,xfs', '--group=quick', '--guests=2'],
      ...['--vloop=--workers=2', '--vloop=--direct-io=off', '--compare', '--timeout=60'],
    ]);
    expect(options.suites).toEqual(['xfstests', 'blktests']);
    expect(options.fileSystems).toEqual(['ext4', 'xfs']);
    expect(options.vloop).toEqual(['--workers=2', '--direct-io=off']);
    expect(options).toMatchObject({ group: 'quick', guestCount: 2, compare: true });
    expect(options.timeoutSeconds).toBe(60);
  });

  test('settings of xfstests reach its shell as they are', () => {
    const { settings } = parseCommandLine([
      ...['--suite=xfstests', '--set=MKFS_OPTIONS=-b 1024', "--set=MOUNT_OPTIONS=-o x='$(y)'"],
    ]);
    const script = `${settingsScript(settings)}printf '%s|%s' "$MKFS_OPTIONS" "$MOUNT_OPTIONS"`;
    expect(execFileSync('sh', ['-c', script], { encoding: 'utf8' })).toBe("-b 1024|-o x='$(y)'");
  });

  test('single tests by name', () => {
    const options = parseCommandLine(['--suite=xfstests', 'generic/001', 'generic/013']);
    expect(options.tests).toEqual(['generic/001', 'generic/013']);
  });
});

describe('what is refused', () => {
  test.each([
    [
      ['--suite=fstest'],
      '--suite=fstest: no "fstest", expected packaged, checker, xfstests, blktests',
    ],
    [['--fs=ext4,ntfs'], '--fs=ext4,ntfs: no "ntfs", expected ext4, xfs, btrfs'],
    [['--guests=0'], '--guests=0: expected a number from 1 to 64'],
    [['--timeout=1h'], '--timeout=1h: expected a number from 5'],
    [['--output='], '--output= is empty'],
    [['--frobnicate'], "Unknown option '--frobnicate'"],
    [['--group=quick', 'generic/001'], '--group, --list and tests by name exclude each other'],
    [['--set=MKFS_OPTIONS=-b 1024'], '--set is for --suite=xfstests'],
    [['--suite=xfstests', '--set=MKFS_OPTIONS'], '--set=MKFS_OPTIONS: expected NAME=VALUE'],
    [['--suite=xfstests', '--set=a b=c'], '--set=a b=c: expected NAME=VALUE'],
    [['--suite=xfstests', '--set=TEST_DEV=/dev/vda'], 'fs-tests itself sets TEST_DEV'],
    [['--modules=/lib/modules/6.1'], '--modules belong to a kernel of yours'],
    [['--suite=xfstests,blktests', 'block/003'], 'tests by name belong to one --suite'],
  ])('%s', (args, sentence) => {
    expect(() => parseCommandLine(args)).toThrow(UsageError);
    expect(() => parseCommandLine(args)).toThrow(sentence);
    try {
      parseCommandLine(args);
    } catch (error) {
      expect((error as Error).message).not.toContain('\n');
    }
  });
});

test('--help names every option and the exit statuses', () => {
  for (const name of Object.keys(optionTable)) expect(helpText()).toContain(`--${name}`);
  expect(helpText()).toContain('130 interrupted');
});
