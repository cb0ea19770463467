/**
 * The checker as a command: it passes a right back-end, finds a broken one and the requests that show it, and says with
 * its exit status when it could not test.
 */
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { run } from '../support/bounded-process.ts';
import { brokenVloop } from '../support/broken-vloop.ts';
import { ServedDisk } from '../support/served-disk.ts';

const SCRIPT = join(import.meta.dirname, '../support/check-back-end.ts');
const RUN_TIMEOUT_MS = 50_000;

let disk: ServedDisk | undefined;

afterEach(async () => {
  await disk?.close();
  disk = undefined;
});

const check = (...args: string[]) => run([process.execPath, SCRIPT, ...args], RUN_TIMEOUT_MS);

test.each([[[]], [['--packed', '--in-order']], [['--plain']]])(
  'a right vloop passes: %j',
  async (args) => {
    disk = await ServedDisk.serve();
    const { status, stdout, stderr } = await check(disk.socket, '--seed=5', '--count=800', ...args);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^check-back-end: ok: \d+ requests \(seed 5\)\n$/);
  },
);

test('a write that is lost is found, and is all that is left of the plan', async () => {
  const { nodeFlags, args } = brokenVloop('lost', 7);
  disk = new ServedDisk({ sizeBytes: 2 ** 20 });
  await disk.startVloop(args, { nodeFlags });
  const { status, stderr } = await check(disk.socket, '--seed=5', '--count=100');
  expect(status, stderr).toBe(1);
  expect(stderr).toMatch(/^check-back-end: WRONG: #\d+ .*: sector \d+: expected .*\(seed 5\)\n/);
  expect(stderr).toMatch(/\nthe fewest found that fail, 1 of 100:\n#\d+ queue \d write .*\n$/);
});

test.each([
  [[], 'expected one socket (--help)'],
  [['s', '--count=x'], '--count=x: expected a whole number'],
])('%j cannot be tested: status 2', async (args, line) => {
  expect(await check(...args)).toMatchObject({ status: 2, stderr: `check-back-end: ${line}\n` });
});

test('a socket where nobody listens: status 2', async () => {
  const { status, stderr } = await check('/nonexistent/socket');
  expect(status).toBe(2);
  expect(stderr).toMatch(/^check-back-end: .*\n$/);
});
