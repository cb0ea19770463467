/**
 * The loop device with a transfer module over a backing file that is slow, short, interrupted and broken: what lies in
 * the file is the naive model, encrypted in one go by node's own ciphers, and what the guest reads is the model.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import type { TransferModule } from '../../src/loop/transfer-module.ts';
import { aesXtsTransfer, cryptoloopTransfer } from '../../src/transfer/aes-transfers.ts';
import { cryptoloop, encrypted, xts } from '../support/encrypted-image.ts';
import {
  dealtFaults,
  type FaultKind,
  HARMFUL_FAULTS,
  HARMLESS_FAULTS,
} from '../support/faulty-backing.ts';
import { noise } from '../support/image-content.ts';
import { LoopRig, RIG_DISK_BYTES, type RigRequest } from '../support/loop-rig.ts';
import { blk, HEADER_BYTES } from '../support/mock-driver-blk.ts';
import { holds } from '../support/property.ts';
import { using } from '../support/test-transfers.ts';

const KEY = noise(64, 99);
const RUNS = 30;
/** Small parts of a disk, so that requests meet; blocks of the larger units. */
const BLOCK = 4096;
const BLOCKS = 150;

const KINDS = {
  xts512: {
    transfer: using(aesXtsTransfer as TransferModule<never>, { key: KEY }),
    by: xts(KEY),
  },
  xts4096: {
    transfer: using(aesXtsTransfer as TransferModule<never>, {
      key: KEY,
      blockSizeBytes: BLOCK,
      options: { sector_size: '4096', iv_offset: '16' },
    }),
    by: xts(KEY, BLOCK, 16),
  },
  cryptoloop: {
    transfer: using(cryptoloopTransfer as TransferModule<never>, { key: KEY.subarray(0, 16) }),
    by: cryptoloop(KEY.subarray(0, 16)),
  },
} as const;

const ZEROES = Buffer.alloc(RIG_DISK_BYTES);
/** A disk of zeroes, encrypted. */
const BLANK = Object.fromEntries(
  Object.entries(KINDS).map(([kind, { by }]) => [kind, encrypted(ZEROES, by)]),
);

interface Step {
  readonly kind: 'read' | 'write' | 'zeroes';
  readonly block: number;
  readonly blocks: number;
  readonly skewBytes: number;
  readonly cuts: readonly number[];
  readonly turns: number;
}

interface Scenario {
  readonly kind: keyof typeof KINDS;
  readonly direct: boolean;
  readonly steps: readonly Step[];
  readonly order: readonly number[];
  readonly faults: readonly FaultKind[];
}

function scenarios(faultKinds: readonly FaultKind[]): fc.Arbitrary<Scenario> {
  const step: fc.Arbitrary<Step> = fc.record({
    kind: fc.constantFrom('read', 'read', 'write', 'write', 'zeroes'),
    block: fc.nat(BLOCKS - 1),
    // Some are more than a bounce buffer holds.
    blocks: fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 1, max: 6 }) },
      { weight: 1, arbitrary: fc.integer({ min: 60, max: 90 }) },
    ),
    skewBytes: fc.constantFrom(0, 0, 496, 1, 3),
    cuts: fc.array(fc.nat(1000), { maxLength: 4 }),
    turns: fc.nat(3),
  });
  return fc.record({
    kind: fc.constantFrom('xts512', 'xts4096', 'cryptoloop'),
    direct: fc.boolean(),
    steps: fc.array(step, { minLength: 1, maxLength: 30 }),
    order: fc.array(fc.nat(1000), { maxLength: 50 }),
    faults: fc.array(fc.constantFrom(...faultKinds), { maxLength: 60 }),
  });
}

interface Played {
  readonly rig: LoopRig;
  readonly model: Buffer;
  /** Blocks that a failed request wrote to: nobody knows what they hold. */
  readonly unknown: Set<number>;
}

function blocksOf({ block, blocks }: Step): number[] {
  return Array.from({ length: blocks }, (_, i) => block + i);
}

/** Plays the steps; requests on the same blocks are not in flight together. */
function played({ kind, direct, steps, order, faults }: Scenario): Played {
  const { transfer } = KINDS[kind];
  let next = 0;
  const choose = (count: number) => (order[next++ % Math.max(1, order.length)] ?? 0) % count;
  // Files answer in whole sectors here; what they do inside of a unit the unit tests have.
  const faultOf = dealtFaults(faults, 512);
  const rig = new LoopRig({ direct, choose, faultOf, ringSize: 64, transfer });
  const model = Buffer.alloc(RIG_DISK_BYTES);
  rig.backing.content.set(BLANK[kind]!);
  const unknown = new Set<number>();
  const busy = new Set<number>();
  let waiting: Array<{ step: Step; request: RigRequest; expected: Buffer }> = [];
  const finish = () => {
    rig.settle();
    for (const { step, request, expected } of waiting) {
      const ok = request.placed.status === VIRTIO_BLK_S_OK;
      expect(request.answers).toHaveLength(1);
      if (!ok && step.kind !== 'read') for (const block of blocksOf(step)) unknown.add(block);
      if (ok && step.kind === 'read' && !blocksOf(step).some((block) => unknown.has(block))) {
        expect(Buffer.compare(request.placed.dataIn, expected), 'data read').toBe(0);
      }
    }
    waiting = [];
    busy.clear();
  };
  for (const [sequence, step] of steps.entries()) {
    if (blocksOf(step).some((block) => busy.has(block)) || rig.drivers[0]!.freeCount < 10) finish();
    const [from, bytes] = [step.block * BLOCK, step.blocks * BLOCK];
    const at = step.cuts.map((cut) => Math.floor((cut * bytes) / 1000)).sort((a, b) => a - b);
    const expected = Buffer.from(model.subarray(from, from + bytes));
    const text = textOf(step, at, model.subarray(from, from + bytes), sequence + 1);
    const request = rig.offer(text, { skewBytes: step.skewBytes });
    waiting.push({ step, request, expected });
    for (const block of blocksOf(step)) busy.add(block);
    for (let i = 0; i < step.turns; i++) rig.turn();
  }
  finish();
  return { rig, model, unknown };
}

/** The request, and what it makes of its part of the model. */
function textOf(step: Step, at: readonly number[], part: Buffer, seed: number) {
  const { kind, block } = step;
  const sector = (block * BLOCK) / 512;
  const gapBytes = at.length;
  if (kind === 'read') {
    return blk.read(sector, part.length, { writableCuts: [...at, part.length], gapBytes });
  }
  if (kind === 'zeroes') {
    part.fill(0);
    return blk.writeZeroes({ sector, sectors: part.length / 512, flags: at.length % 2 });
  }
  const data = noise(part.length, seed);
  part.set(data);
  return blk.write(sector, data, { readableCuts: at.map((cut) => HEADER_BYTES + cut), gapBytes });
}

function check({ rig, model, unknown }: Played, kind: keyof typeof KINDS): void {
  const whole = encrypted(model, KINDS[kind].by);
  for (let block = 0; block < RIG_DISK_BYTES / BLOCK; block++) {
    if (unknown.has(block)) continue;
    const range = [block * BLOCK, (block + 1) * BLOCK] as const;
    const same = Buffer.compare(rig.backing.content.subarray(...range), whole.subarray(...range));
    if (same !== 0) throw new Error(`block ${block} of the file is not the model's, encrypted`);
  }
  expect(rig.counter('transferErrors')).toBe(0);
}

test('short, repeated and reordered operations: file and guest see no difference', () => {
  holds(
    scenarios(HARMLESS_FAULTS),
    (scenario) => {
      const end = played(scenario);
      expect([...end.unknown]).toEqual([]);
      check(end, scenario.kind);
    },
    RUNS,
  );
});

test('operations that fail: nothing else is touched', () => {
  holds(
    scenarios([...HARMLESS_FAULTS, ...HARMFUL_FAULTS]),
    (scenario) => check(played(scenario), scenario.kind),
    RUNS,
  );
});
