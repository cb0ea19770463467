/**
 * The whole loop device over a backing file that is slow, short, interrupted and broken: every request is
 * answered exactly once, and what the guest reads and what lies on the disk are what a plain array says.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_T_FLUSH,
} from '../../protocol/virtio-blk.ts';
import {
  dealtFaults,
  type FaultKind,
  HARMFUL_FAULTS,
  HARMLESS_FAULTS,
} from '../support/faulty-backing.ts';
import { noise } from '../support/image-content.ts';
import { LoopRig, RIG_DISK_BYTES, type RigRequest } from '../support/loop-rig.ts';
import { type BlkRequestText, blk, HEADER_BYTES } from '../support/mock-driver-blk.ts';
import { holds } from '../support/property.ts';

const SECTOR = 512;
const SECTORS = RIG_DISK_BYTES / SECTOR;
const RUNS = 300;

interface Step {
  readonly kind: 'read' | 'write' | 'discard' | 'zeroes' | 'flush';
  readonly sector: number;
  readonly sectors: number;
  readonly queue: number;
  readonly skewBytes: number;
  /** Cuts of the data into descriptors, in thousandths. */
  readonly cuts: readonly number[];
  /** Operations that complete before the next request comes. */
  readonly turns: number;
}

interface Scenario {
  readonly direct: boolean;
  readonly writeThrough: boolean;
  readonly queueCount: number;
  readonly eventIdx: boolean;
  readonly steps: readonly Step[];
  readonly order: readonly number[];
  readonly faults: readonly FaultKind[];
}

function scenarios(faultKinds: readonly FaultKind[]): fc.Arbitrary<Scenario> {
  const step: fc.Arbitrary<Step> = fc.record({
    kind: fc.constantFrom('read', 'read', 'write', 'write', 'write', 'discard', 'zeroes', 'flush'),
    sector: fc.nat(300),
    sectors: fc.oneof(
      { weight: 5, arbitrary: fc.integer({ min: 1, max: 40 }) },
      // More than one bounce buffer holds.
      { weight: 1, arbitrary: fc.integer({ min: 500, max: 1200 }) },
    ),
    queue: fc.nat(2),
    skewBytes: fc.constantFrom(0, 0, 496, 1, 3),
    cuts: fc.array(fc.nat(1000), { maxLength: 4 }),
    turns: fc.nat(3),
  });
  return fc.record({
    direct: fc.boolean(),
    writeThrough: fc.boolean(),
    queueCount: fc.integer({ min: 1, max: 3 }),
    eventIdx: fc.boolean(),
    steps: fc.array(step, { minLength: 1, maxLength: 40 }),
    order: fc.array(fc.nat(1000), { maxLength: 50 }),
    faults: fc.array(fc.constantFrom(...faultKinds), { maxLength: 80 }),
  });
}

/** A guest, its device, and the array that says what ought to be on the disk. */
class Trial {
  readonly rig: LoopRig;
  readonly model = new Uint8Array(RIG_DISK_BYTES);
  /** Sectors whose content nobody can know: a write to them failed. */
  readonly unknown = new Uint8Array(SECTORS);
  readonly requests: Array<{ step: Step; request: RigRequest; expected: Uint8Array }> = [];
  readonly #busy = new Uint8Array(SECTORS);
  #sequence = 0;

  constructor({ direct, writeThrough, queueCount, eventIdx, order, faults }: Scenario) {
    let next = 0;
    const choose = (count: number) => (order[next++ % Math.max(1, order.length)] ?? 0) % count;
    const options = { direct, writeThrough, queueCount, eventIdx, choose, ringSize: 64 };
    this.rig = new LoopRig({ ...options, faultOf: dealtFaults(faults, direct ? SECTOR : 1) });
  }

  /** Offers a request. Requests on the same sectors have no order among them: the earlier end first. */
  take(step: Step): void {
    const { sector, sectors, kind, skewBytes } = step;
    const queue = step.queue % this.rig.drivers.length;
    const touched = this.#busy.subarray(sector, sector + sectors);
    if (kind !== 'flush' && touched.some((busy) => busy !== 0)) this.finish();
    if (this.rig.drivers[queue]!.freeCount < 8) this.finish();
    const expected = this.model.slice(sector * SECTOR, (sector + sectors) * SECTOR);
    const text = this.#textOf(step);
    if (kind !== 'flush') touched.fill(1);
    const request = this.rig.offer(text, { queue, skewBytes });
    this.requests.push({ step, request, expected });
    for (let i = 0; i < step.turns; i++) this.rig.turn();
  }

  /** The request, and its effect on the model if all goes well. */
  #textOf({ kind, sector, sectors, cuts }: Step): BlkRequestText {
    const bytes = sectors * SECTOR;
    const at = cuts.map((cut) => Math.floor((cut * bytes) / 1000)).sort((a, b) => a - b);
    const inModel = this.model.subarray(sector * SECTOR, sector * SECTOR + bytes);
    switch (kind) {
      case 'read':
        return blk.read(sector, bytes, { writableCuts: [...at, bytes], gapBytes: cuts.length });
      case 'write': {
        const data = noise(bytes, ++this.#sequence);
        inModel.set(data);
        const readableCuts = at.map((position) => HEADER_BYTES + position);
        return blk.write(sector, data, { readableCuts, gapBytes: cuts.length });
      }
      case 'discard':
        inModel.fill(0);
        return blk.discard({ sector, sectors });
      case 'zeroes':
        inModel.fill(0);
        return blk.writeZeroes({ sector, sectors, flags: cuts.length % 2 });
      case 'flush':
        return { type: VIRTIO_BLK_T_FLUSH };
    }
  }

  finish(): void {
    this.rig.settle();
    this.#busy.fill(0);
    for (const { step, request } of this.requests) {
      if (step.kind === 'read' || request.placed.status === VIRTIO_BLK_S_OK) continue;
      this.unknown.fill(1, step.sector, step.sector + step.sectors);
    }
  }

  /** What holds whatever went wrong. */
  checkAnswers(): void {
    for (const { step, request } of this.requests) {
      const { answers, placed } = request;
      expect(answers, 'used elements of one head').toHaveLength(1);
      expect([VIRTIO_BLK_S_OK, VIRTIO_BLK_S_IOERR]).toContain(placed.status);
      const isData = step.kind === 'read' && placed.status === VIRTIO_BLK_S_OK;
      expect(answers[0]).toBe(isData ? step.sectors * SECTOR + 1 : 1);
    }
    for (const queue of this.rig.device.running) {
      expect([queue.vring.inFlightCount, queue.vring.broken]).toEqual([0, 0]);
    }
  }

  checkContent(content: Uint8Array): void {
    for (let sector = 0; sector < SECTORS; sector++) {
      if (this.unknown[sector] !== 0) continue;
      const range = [sector * SECTOR, (sector + 1) * SECTOR] as const;
      if (Buffer.compare(content.subarray(...range), this.model.subarray(...range)) !== 0) {
        throw new Error(`sector ${sector} is not what the model says`);
      }
    }
  }
}

function played(scenario: Scenario): Trial {
  const trial = new Trial(scenario);
  for (const step of scenario.steps) trial.take(step);
  trial.finish();
  return trial;
}

test('short, repeated and reordered operations: the guest sees no difference', () => {
  holds(
    scenarios(HARMLESS_FAULTS),
    (scenario) => {
      const trial = played(scenario);
      trial.checkAnswers();
      for (const { step, request, expected } of trial.requests) {
        expect(request.placed.status).toBe(VIRTIO_BLK_S_OK);
        if (step.kind === 'read') {
          expect(Buffer.compare(request.placed.dataIn, expected), 'data read').toBe(0);
        }
      }
      trial.checkContent(trial.rig.backing.content);
      expect(trial.rig.ioErrors).toEqual([]);
      if (scenario.writeThrough) trial.checkContent(trial.rig.backing.durable);
    },
    RUNS,
  );
});

test('operations that fail: each request is answered once, and no other is touched', () => {
  holds(
    scenarios([...HARMLESS_FAULTS, ...HARMFUL_FAULTS]),
    (scenario) => {
      const trial = played(scenario);
      trial.checkAnswers();
      // A discard where there are no holes changes nothing: what it covers is as it was, or zero.
      const isDiscard = ({ step }: { step: Step }) => step.kind === 'discard';
      for (const { step } of trial.requests.filter(isDiscard)) {
        trial.unknown.fill(1, step.sector, step.sector + step.sectors);
      }
      trial.checkContent(trial.rig.backing.content);
      const errors = trial.requests.filter(({ request }) => request.placed.status !== 0).length;
      expect(trial.rig.counter('errors')).toBe(errors);
    },
    RUNS,
  );
});

test('a flush that succeeds leaves everything durable that was answered before it was asked', () => {
  holds(
    scenarios(['none', 'short', 'again']),
    (scenario) => {
      const trial = played(scenario);
      expect(trial.rig.run({ type: VIRTIO_BLK_T_FLUSH })).toBe(VIRTIO_BLK_S_OK);
      trial.checkContent(trial.rig.backing.durable);
    },
    RUNS,
  );
});
