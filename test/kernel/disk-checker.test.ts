/**
 * The disk checker of the examples on files of this machine: it passes a right one, finds what its own `--spoil` makes
 * wrong, cuts a log down to what is needed, replays it, and says with its exit status whose fault it was.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { BoundedProcess, mustRun, run, waitFor } from '../support/bounded-process.ts';
import { requireDiskChecker } from '../support/disk-checker-program.ts';
import { FrozenFilesystem } from '../support/frozen-filesystem.ts';
import { SmallFilesystem } from '../support/small-filesystem.ts';

const RUN_TIMEOUT_MS = 30_000;
const COMPILE_TIMEOUT_MS = 120_000;
const SOURCES = join(import.meta.dirname, '../../qemu-examples/disk-checker');
/** A right file passes so many of each thread; a wrong one is found within them, with each of these seeds. */
const OPERATIONS = '--ops=1000';
const SEEDS = [1, 2, 3];

const checked = await requireDiskChecker('the disk checker');
const folder = mkdtempSync(join(tmpdir(), 'vloop-checker-'));
const file = join(folder, 'file');

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function check(...args: string[]) {
  if (!checked.ok) throw new Error(checked.reason);
  return run([checked.checker.program, ...args], RUN_TIMEOUT_MS);
}

describe.skipIf(!checked.ok)('the disk checker on a file', () => {
  test.each(['both', 'direct', 'buffered'])('passes a right one, --io=%s', async (io) => {
    const { status, stdout, stderr } = await check(`--io=${io}`, '--seed=1', OPERATIONS, file);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/disk-checker: ok: \d{4,} operations, .* MiB checked in .*, seed 1\n$/);
  });

  test.each(['lost', 'torn', 'misplaced', 'late', 'stale', 'not-zeroed'])(
    'finds what is %s',
    async (kind) => {
      for (const seed of SEEDS) {
        for (const io of ['direct', 'buffered']) {
          const args = [`--spoil=${kind}:50`, `--io=${io}`, `--seed=${seed}`, '--shrink-seconds=0'];
          const { status, stderr } = await check(...args, OPERATIONS, file);
          expect(status, `${args.join(' ')}: ${stderr}`).toBe(1);
          expect(stderr).toMatch(
            /^disk-checker: MISMATCH at offset \d+: expected .*\(seed \d+\)\n/,
          );
          expect(stderr).toMatch(/touched it:\n(#\d+ thread \d+ \w+ offset \d+ length \d+ .*\n)+$/);
        }
      }
    },
  );

  test('the smallest log of a lost write is that write; the log replays, right and wrong', async () => {
    const log = join(folder, 'log');
    const found = await check('--spoil=lost:50', '--seed=4', `--log=${log}`, OPERATIONS, file);
    const smallest =
      /the fewest found that fail .*, 1 of \d+:\n(#\d+ thread \d+ write offset \d+ length \d+)/;
    const [, lost] = smallest.exec(found.stderr) ?? [];
    expect(lost, found.stderr).toBeDefined();
    const lines = readFileSync(log, 'utf8').split('\n');
    expect(lines[0]).toBe('disk-checker log 1 seed 4');
    const ofThat = lines.filter((line) => line.startsWith(lost!));
    writeFileSync(log, [lines[0], ...ofThat, ''].join('\n'));
    expect(await check(`--replay=${log}`, file)).toMatchObject({ status: 0 });
    const again = await check('--spoil=lost:50', `--replay=${log}`, file);
    expect(again.status).toBe(1);
    expect(again.stderr).toContain(lost);
  });

  test('a log that is full is said, ends the operations, and nothing is written behind it', async () => {
    const program = join(folder, 'disk-checker');
    const flags = ['-O1', '-g', '-fsanitize=address', '-DLOG_MOST=3000', '-pthread'];
    const sources = readdirSync(SOURCES).filter((name) => name.endsWith('.c'));
    await mustRun(
      ['cc', ...flags, '-o', program, ...sources.map((name) => join(SOURCES, name))],
      COMPILE_TIMEOUT_MS,
    );
    const args = ['--ops=2000', '--rounds=3', '--size=2M', '--seed=1', file];
    const { status, stdout, stderr } = await run([program, ...args], RUN_TIMEOUT_MS);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/disk-checker: ok: \d+ operations/);
    expect(new Set(stderr.trim().split('\n'))).toEqual(
      new Set(['disk-checker: the log is full after 3000 operations, the rest is left out']),
    );
  });

  test.each([
    [['--ops=many'], '--ops=many: expected a number up to 4194304'],
    [['--spoil=lost'], '--spoil=lost: expected KIND:N with N of 1 or more'],
    [['--io=both', '--unit=100'], '--unit=100: direct I/O here needs multiples of 4096'],
    [['--size=4K'], 'a region of 4096 bytes is too small'],
    [['--replay=/nonexistent'], 'cannot read /nonexistent'],
    [['--threads=0'], '--threads and --rounds have to be 1 or more'],
  ])('%j cannot be tested: status 2 and one line', async (args, line) => {
    expect(await check(...args, file)).toMatchObject({
      status: 2,
      stderr: `disk-checker: ${line}\n`,
    });
  });

  test('what is neither a device nor a file cannot be tested', async () => {
    expect(await check('/dev/null')).toMatchObject({
      status: 2,
      stderr: 'disk-checker: /dev/null is neither a block device nor a regular file\n',
    });
  });

  const small = SmallFilesystem.mount(2 ** 21);
  const reason = typeof small === 'string' ? small : null;
  if (reason !== null) process.stderr.write(`skipped: a checker that gets an error: ${reason}\n`);

  test.skipIf(reason !== null)('an error is a failure that names its operation', async () => {
    if (typeof small === 'string') return;
    try {
      const { status, stderr } = await check('--size=4M', join(small.directory, 'file'));
      expect([status, stderr]).toEqual([
        1,
        expect.stringMatching(
          /^disk-checker: FAILED before the test: write at offset \d+, \d+ bytes: .*(No space|Input)/,
        ),
      ]);
    } finally {
      small.unmount();
    }
  });
});

const storage = checked.ok ? await FrozenFilesystem.mount(32 * 2 ** 20) : checked.reason;
const unmounted = typeof storage === 'string';
if (unmounted)
  process.stderr.write(`skipped: the disk checker on storage that hangs: ${storage}\n`);

describe.skipIf(unmounted)('the disk checker on storage that does not answer', () => {
  const frozen = storage as FrozenFilesystem;

  afterAll(async () => {
    if (!unmounted) await frozen.unmount();
  });

  /** From the freeze to the line; the process itself ends when its calls come back. */
  async function hangs(freezeFirst: boolean): Promise<string> {
    const path = join(frozen.directory, 'file');
    const args = ['--timeout=1', '--seconds=60', '--size=1M', path];
    if (!checked.ok) throw new Error(checked.reason);
    if (freezeFirst) await frozen.freeze();
    const checking = new BoundedProcess([...frozen.through, checked.checker.program, ...args]);
    try {
      if (!freezeFirst) {
        await waitFor(
          () => `first line; it said: ${checking.output}`,
          RUN_TIMEOUT_MS,
          () => checking.output.includes('threads, seed') || undefined,
        );
        await frozen.freeze();
      }
      await waitFor(
        () => `line of what hangs; it said: ${checking.output}`,
        RUN_TIMEOUT_MS,
        () => checking.output.includes('FAILED') || undefined,
      );
    } finally {
      await frozen.thaw();
    }
    const { status, stderr } = await checking.within(RUN_TIMEOUT_MS);
    expect(status, stderr).toBe(1);
    return stderr.trimEnd().split('\n').at(-1)!;
  }

  test('under operations ends with a line', async () => {
    expect(await hangs(false)).toMatch(
      /^disk-checker: FAILED: (#\d+|fsync|an operation before the test) has not been answered for 1 s$/,
    );
  });

  test('before the first operation ends with a line', async () => {
    expect(await hangs(true)).toBe(
      'disk-checker: FAILED: opening it has not been answered for 1 s',
    );
  });
});
