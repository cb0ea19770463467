/**
 * The checker on a vloop process: plans of random requests, four queues at depth, requests that meet each other in
 * flight, through every engine and ring, every answer and then the file on the host against the model; after
 * `kill -9` what had been answered is in the file. A vloop that is broken on purpose is found within as many
 * requests, with fixed seeds. SEED=n repeats a run.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { BREAKAGES, brokenVloop } from '../support/broken-vloop.ts';
import { checkedRegion, FrontEndDevice } from '../support/checker-devices.ts';
import { drawOperations } from '../support/checker-operations.ts';
import { CheckedPlay } from '../support/checker-play.ts';
import type { MockFrontEndOptions } from '../support/mock-frontend.ts';
import { ServedDisk } from '../support/served-disk.ts';

const QUEUES = 4;
const DISK_SECTORS = 16_384;
const REQUESTS = 1600;
/** A broken vloop is found with each of these, and a right one passes them. */
const SEEDS = [1, 2, 3];
const ENGINE = ['--aio=io_uring', '--io-path=engine'];

const seed = Number(process.env['SEED'] ?? (Date.now() ^ (process.pid << 8)) >>> 0);

let disk: ServedDisk;

afterEach(async () => {
  await disk.close();
});

function plan(run: number, count = REQUESTS) {
  const shape = { diskSectors: DISK_SECTORS, queueCount: QUEUES };
  return drawOperations({ seed: run, count, ...shape });
}

/** A checker on a new vloop. */
async function serve(
  run: number,
  args: readonly string[],
  { front = {}, nodeFlags = [] as readonly string[] } = {},
): Promise<CheckedPlay> {
  disk = new ServedDisk({ sizeBytes: DISK_SECTORS * 512 });
  await disk.startVloop(args, { nodeFlags });
  const moreRegions = [checkedRegion(QUEUES)];
  const options = { queueCount: QUEUES, placeCount: 0, moreRegions, ...front };
  return new CheckedPlay(new FrontEndDevice(await disk.connect(options), DISK_SECTORS), run);
}

describe.each<readonly [readonly string[], MockFrontEndOptions]>([
  [['--direct-io=on', '--workers=2'], {}],
  [['--direct-io=off', '--workers=2', '--io-path=engine'], { packed: true }],
  [['--direct-io=off', '--workers=2', '--io-path=calls'], { eventIdx: false }],
  [['--direct-io=on', '--aio=native'], { packed: true, inOrder: true }],
  [['--direct-io=on', '--aio=threads'], { inOrder: true }],
  [['--direct-io=off', '--aio=threads'], {}],
])('%j, %j', (args, front) => {
  test(`every answer is one that may be (SEED=${seed})`, async () => {
    const play = await serve(seed, args, { front });
    const failure = await play.all(plan(seed));
    expect(failure?.text ?? null).toBeNull();
    expect(play.answered).toBeGreaterThan(REQUESTS);
    expect(await disk.stopVloop()).toMatchObject({ status: 0 });
    expect(disk.vloop.log('summary')[0]).toMatchObject({ errors: 0, unsupported: 0 });
    expect(play.model.difference(disk.imageBytes(), 'completed')).toBeNull();
  });
});

test.each([[['--direct-io=off']], [['--direct-io=on', '--workers=2']]])(
  `%j: what was answered before kill -9 is in the file (SEED=${seed})`,
  async (args) => {
    const play = await serve(seed, args);
    await play.some(plan(seed, 600));
    await disk.vloop.kill();
    expect(play.failure?.text ?? null).toBeNull();
    expect(play.model.difference(disk.imageBytes(), 'completed')).toBeNull();
  },
);

describe.each(SEEDS)('seed %i', (run) => {
  test('a right vloop passes', async () => {
    const play = await serve(run, ENGINE);
    expect((await play.all(plan(run)))?.text ?? null).toBeNull();
  });

  test.each(BREAKAGES)('a broken vloop is found: %s', async (breakage) => {
    const { nodeFlags, args } = brokenVloop(breakage, 7);
    const play = await serve(run, args, { nodeFlags });
    const failure = await play.all(plan(run));
    expect(failure?.text).toMatch(
      breakage === 'usedLength'
        ? /: used length \d+, expected \d+ \(seed \d\)$/
        : /: sector \d+: expected .*, got .* \(seed \d\)\n#\d+ queue/,
    );
  });
});
