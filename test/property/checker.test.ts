/**
 * The host-side checker on the loop device in one thread: a right one passes plans of so many operations, and one that is
 * broken on purpose, over the file or in its answers, is found within as many, for each of a few fixed seeds. What is
 * found is cut down to the fewest operations that show it.
 */
import { describe, expect, test } from 'vitest';
import { VIRTIO_BLK_S_IOERR } from '../../protocol/virtio-blk.ts';
import type { LoopQueue } from '../../src/loop/loop-queue.ts';
import { RigDevice } from '../support/checker-devices.ts';
import { type CheckedOperation, drawOperations } from '../support/checker-operations.ts';
import { CheckedPlay, fewestThatFail } from '../support/checker-play.ts';
import { failed, faultsWhere, LIES, lies } from '../support/faulty-backing.ts';
import { LoopRig, type LoopRigOptions, RIG_DISK_BYTES } from '../support/loop-rig.ts';
import { randomNumbers } from '../support/random-numbers.ts';

const SEEDS = [1, 2, 3, 4, 5];
/** A right device passes so many; a broken one does not get as far. */
const COUNT = 1000;
const QUEUES = 3;

function plan(seed: number, count = COUNT): CheckedOperation[] {
  const diskSectors = RIG_DISK_BYTES / 512;
  return drawOperations({ seed, count, diskSectors, queueCount: QUEUES });
}

function newRig(seed: number, options: LoopRigOptions = {}): LoopRig {
  const choose = randomNumbers(seed);
  return new LoopRig({ queueCount: QUEUES, ringSize: 64, choose, ...options });
}

type Break = (rig: LoopRig) => void;

/** Plays operations on a new rig that `breaks` has changed. */
async function played(
  seed: number,
  operations: readonly CheckedOperation[],
  breaks: Break = () => {},
  options: LoopRigOptions = {},
) {
  const rig = newRig(seed, options);
  breaks(rig);
  const play = new CheckedPlay(new RigDevice(rig), seed);
  const failure = await play.all(operations);
  return { rig, play, failure };
}

/** Changes how every queue answers. */
function answering(
  change: (finish: LoopQueue['finish'], queue: LoopQueue) => LoopQueue['finish'],
): Break {
  return (rig) => {
    for (const queue of rig.device.running) queue.finish = change(queue.finish.bind(queue), queue);
  };
}

const BROKEN: ReadonlyArray<readonly [string, Break]> = [
  ...LIES.map((kind): [string, Break] => [
    kind,
    (rig) => {
      rig.backing.faultOf = lies(kind, 7, () => rig.backing.pending);
    },
  ]),
  [
    'a used length is one short',
    answering(
      (finish) => (slot, status, used) => finish(slot, status, used > 4096 ? used - 1 : used),
    ),
  ],
  [
    'a used length counts nothing',
    answering(
      (finish, { commands }) =>
        (slot, status, used) =>
          finish(slot, status, commands.offsetBytes[slot]! % 3584 === 0 ? 0 : used),
    ),
  ],
  [
    'a request is not answered',
    answering((finish, { commands }) => (slot, status, used) => {
      if (commands.offsetBytes[slot]! % (7 * 512) !== 0) finish(slot, status, used);
    }),
  ],
  [
    'a request fails',
    answering(
      (finish, { commands }) =>
        (slot, status, used) =>
          finish(
            slot,
            commands.offsetBytes[slot]! % 3584 === 0 ? VIRTIO_BLK_S_IOERR : status,
            used,
          ),
    ),
  ],
];

describe('a right device passes', () => {
  test.each([
    ['split rings', {}],
    ['packed rings', { packed: true, eventIdx: true }],
    ['in order', { inOrder: true }],
    ['direct I/O', { direct: true }],
    ['write-through', { writeThrough: true }],
  ] as const)('%s', async (_, options) => {
    for (const seed of SEEDS) {
      const { play, failure, rig } = await played(seed, plan(seed), undefined, options);
      expect(failure?.text ?? null, `seed ${seed}`).toBeNull();
      expect(play.answered).toBeGreaterThan(COUNT);
      expect(play.model.difference(rig.backing.content, 'completed')).toBeNull();
      expect(play.model.difference(rig.backing.durable, 'flushed')).toBeNull();
    }
  });

  test('short, interrupted and repeated operations', async () => {
    const breaks: Break = (rig) => {
      rig.backing.faultOf = faultsWhere(
        ({ kind, lengthBytes }) => kind === 'write' && lengthBytes > 8192,
        { shortBytes: 4096 },
      );
    };
    for (const seed of SEEDS) {
      expect((await played(seed, plan(seed), breaks)).failure?.text ?? null).toBeNull();
    }
  });

  test('a file without holes: what is discarded may stay', async () => {
    const breaks: Break = (rig) => {
      rig.backing.faultOf = faultsWhere(({ kind }) => kind === 'fallocate', failed.unsupported);
    };
    for (const seed of SEEDS) {
      expect((await played(seed, plan(seed), breaks)).failure?.text ?? null).toBeNull();
    }
  });
});

describe('a broken device is found', () => {
  test.each(BROKEN)('%s', async (_, breaks) => {
    for (const seed of SEEDS) {
      const { failure } = await played(seed, plan(seed), breaks);
      expect(failure, `seed ${seed}`).not.toBeNull();
      expect(failure!.text).toContain(`(seed ${seed})`);
    }
  });

  test('a flush that makes nothing durable shows after a loss of power', async () => {
    const breaks: Break = (rig) => {
      rig.backing.faultOf = faultsWhere(({ kind }) => kind === 'fdatasync', { onlyBytes: 0 });
    };
    for (const seed of SEEDS) {
      const { play, failure, rig } = await played(seed, plan(seed), breaks);
      expect(failure).toBeNull();
      expect(play.model.difference(rig.backing.durable, 'flushed')?.text).toMatch(
        /^sector \d+: expected .*#\d+.*, got zeroes$/,
      );
    }
  });

  test.each(['lost', 'misplaced', 'notZeroed'] as const)('%s: in few operations', async (kind) => {
    const breaks: Break = (rig) => {
      rig.backing.faultOf = lies(kind, 7, () => rig.backing.pending);
    };
    const all = plan(1, 300);
    const fails = async (operations: readonly CheckedOperation[]) =>
      (await played(1, operations, breaks)).failure !== null;
    const fewest = await fewestThatFail(all, fails);
    // A write, or a write and the zeroes that were to replace it.
    expect(fewest.length).toBeLessThanOrEqual(kind === 'notZeroed' ? 2 : 1);
    expect(await fails(fewest)).toBe(true);
  });
});

describe('a power cut in the middle', () => {
  test('leaves what was flushed, and of the rest anything that was offered', async () => {
    for (const seed of SEEDS) {
      const rig = newRig(seed);
      const play = new CheckedPlay(new RigDevice(rig), seed);
      await play.some(plan(seed, 300));
      expect(play.failure).toBeNull();
      rig.backing.orphan(seed % 2 === 0);
      expect(play.model.difference(rig.backing.durable, 'flushed')).toBeNull();
      expect(play.model.difference(rig.backing.content, 'completed')).toBeNull();
    }
  });
});
