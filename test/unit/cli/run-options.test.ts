/**
 * The command line of `vloop run`, the options of its disks, and when a crashed disk is started again.
 */
import { describe, expect, test } from 'vitest';
import { OptionsError } from '../../../src/cli/option-values.ts';
import { RestartDelays } from '../../../src/cli/restart-delays.ts';
import { parseDiskArgument } from '../../../src/cli/run/disk-argument.ts';
import { parseRunArguments } from '../../../src/cli/run/run-options.ts';

const refused = (act: () => unknown) => {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(OptionsError);
    return (error as OptionsError).message;
  }
  throw new Error('not refused');
};

describe('--disk', () => {
  test.each([
    ['a.img', 'a.img', [], null],
    ['a,,b.img,ro', 'a,b.img', ['--read-only'], null],
    ['a.img,read_only', 'a.img', ['--read-only'], null],
    ['a.img,read-only=on', 'a.img', ['--read-only'], null],
    ['a.img,ro=off', 'a.img', [], null],
    ['-a.img,num_queues=4', '-a.img', ['--num-queues=4'], 4],
    ['a=b.img,direct_io=off', 'a=b.img', ['--direct-io=off'], null],
    [
      'a.img,direct_io=on,serial=A,block_size=4096',
      'a.img',
      ['--direct-io=on', '--serial=A', '--block-size=4096'],
      null,
    ],
  ])('%s', (text, file, options, queueCount) => {
    expect(parseDiskArgument(text)).toEqual({ file, options, queueCount });
  });

  test.each([
    ['', 'the file name is missing'],
    [',ro', 'the file name is missing'],
    ['a.img,direct_oi=on', 'a disk has no option "direct_oi"; did you mean "direct_io"?'],
    ['a.img,readonly', 'a disk has no option "readonly"; did you mean "read_only"?'],
    ['a.img,socket_path=/x', 'a disk has no option "socket_path"'],
    ['a.img,transfer=xor,key_fd=3', 'a disk has no option "key_fd"'],
    ['a.img,once', 'a disk has no option "once"'],
    ['a.img,xyzzy', 'a disk has no option "xyzzy"'],
    ['a.img,serial', 'serial= is missing its value'],
    ['a.img,ro=perhaps', 'ro=perhaps, expected on or off'],
    ['a.img,direct_io=perhaps', 'expected one of on, off, auto'],
    ['a.img,num_queues=0', '--num-queues=0: expected a number from 1'],
  ])('%s is refused', (text, words) => {
    expect(refused(() => parseDiskArgument(text))).toMatch(/^--disk /);
    expect(refused(() => parseDiskArgument(text))).toContain(words);
  });
});

describe('the command line', () => {
  test('disks, then the command, whose options are its own', () => {
    const args = ['--disk', 'a.img', '--disk=b.img,ro', '--log', 'l', '--', 'qemu', '--disk', 'x'];
    expect(parseRunArguments(args)).toMatchObject({
      disks: [{ file: 'a.img' }, { file: 'b.img' }],
      command: ['qemu', '--disk', 'x'],
      logFile: 'l',
      help: false,
    });
  });

  test.each([
    [['--disk', 'a.img'], 'which command?'],
    [['--disk', 'a.img', '--'], 'which command?'],
    [['--', 'true'], 'no --disk FILE is given'],
    [['a.img', '--', 'true'], '"a.img" stands before --'],
    [['--dsik', 'a.img', '--', 'true'], `Unknown option '--dsik'; did you mean "--disk"?`],
  ])('%j is refused', (args, words) => {
    expect(refused(() => parseRunArguments(args))).toContain(words);
  });
});

describe('a crashed disk is started again', () => {
  test('at once, then after doubling waits, and given up at last', () => {
    const delays = new RestartDelays();
    const waits = Array.from({ length: 13 }, () => delays.next(10));
    expect(waits.slice(0, 4)).toEqual([0, 100, 200, 400]);
    expect(Math.max(...waits.map(Number))).toBe(10_000);
    expect(waits.at(-1)).toBeNull();
  });

  test('as if for the first time when it had served for long', () => {
    const delays = new RestartDelays();
    for (let crash = 0; crash < 5; crash++) delays.next(10);
    expect(delays.next(61_000)).toBe(0);
    expect(delays.next(10)).toBe(100);
  });
});
