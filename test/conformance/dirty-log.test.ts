/**
 * Every write of the device to guest memory is in the dirty log: guest memory is compared before and
 * after, page by page, and what has changed has to be marked, for every kind of request and for what is
 * written to the ring. What is not written is not marked, but for the pages of the ring.
 * Source: vhost-user.rst, "Migration".
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VIRTIO_BLK_S_IOERR, VIRTIO_BLK_T_FLUSH } from '../../protocol/virtio-blk.ts';
import { logCoversBelow } from '../../src/memory/dirty-log.ts';
import {
  dealtFaults,
  failed,
  faultsWhere,
  HARMFUL_FAULTS,
  HARMLESS_FAULTS,
} from '../support/faulty-backing.ts';
import { noise } from '../support/image-content.ts';
import { LoopRig, type LoopRigOptions, RIG_DATA_AT, RIG_DISK_BYTES } from '../support/loop-rig.ts';
import type { Operation } from '../support/memory-backing-file.ts';
import { type BlkRequestText, blk, HEADER_BYTES } from '../support/mock-driver-blk.ts';
import { holds } from '../support/property.ts';

const PAGE = 4096;
const RINGS = [
  { eventIdx: false },
  { eventIdx: true },
  { packed: true },
  { packed: true, eventIdx: true, inOrder: true, ringSize: 300 },
];
const LOG_BYTES = 0x4000;

/** A device whose writes are logged, and the guest's memory as it was when somebody looked last. */
class LoggedRig {
  readonly log = new Uint8Array(LOG_BYTES);
  readonly rig: LoopRig;
  #seen: Uint8Array[];

  constructor(options: LoopRigOptions = {}) {
    this.rig = new LoopRig({ ...options, log: this.log });
    const { content } = this.rig.backing;
    content.set(noise(content.length, 1));
    this.#seen = this.#copies();
  }

  #copies(): Uint8Array[] {
    return this.rig.ram.regions.map(({ bytes }) => bytes.slice());
  }

  /** What drivers write is theirs to log: it is forgotten. */
  look(): void {
    this.#seen = this.#copies();
    this.log.fill(0);
  }

  get marked(): number[] {
    return [...this.log].flatMap((byte, at) =>
      Array.from({ length: 8 }, (_, bit) => bit)
        .filter((bit) => (byte >> bit) & 1)
        .map((bit) => at * 8 + bit),
    );
  }

  /** Pages whose bytes have changed since the last look. */
  get changed(): number[] {
    return this.rig.ram.regions.flatMap(({ guestAddress, bytes }, region) => {
      const pages = [];
      for (let at = 0; at < bytes.length; at += PAGE) {
        const [now, then] = [bytes, this.#seen[region]!].map((all) => all.subarray(at, at + PAGE));
        if (Buffer.compare(now!, then!) !== 0) pages.push((guestAddress + at) / PAGE);
      }
      return pages;
    });
  }

  /** Offers a request, looks, lets the device run; the pages that changed and the marked ones. */
  run(text: BlkRequestText, skewBytes = 0) {
    const request = this.rig.offer(text, { skewBytes });
    this.look();
    this.rig.settle();
    expect(request.answers).toHaveLength(1);
    const { changed, marked } = this;
    expect(marked, 'marked pages').toEqual(expect.arrayContaining(changed));
    return { changed, marked, status: request.placed.status };
  }
}

/** Pages of the data area: those of the ring are marked whole. */
function ofData(pages: readonly number[]): number[] {
  return pages.filter((page) => page >= RIG_DATA_AT / PAGE);
}

test('the log of the rig covers its memory', () => {
  expect(logCoversBelow(LOG_BYTES)).toBeGreaterThanOrEqual(RIG_DATA_AT + 8 * 2 ** 20);
});

describe('what is written is marked, and nothing else', () => {
  test.each<[string, BlkRequestText, LoopRigOptions]>([
    ['a read', blk.read(8, 64 * 1024), {}],
    ['a read in many pieces', blk.read(0, 64 * 1024, { writableCuts: [100, 9000, 30_000] }), {}],
    ['a read that is bounced', blk.read(8, 64 * 1024, { writableCuts: [3] }), { direct: true }],
    ['a serial', blk.getId(), {}],
    ['a write', blk.write(8, noise(64 * 1024, 2)), {}],
    ['a flush', { type: VIRTIO_BLK_T_FLUSH }, {}],
    ['a discard', blk.discard({ sector: 0, sectors: 8 }), {}],
    ['a write of zeroes', blk.writeZeroes({ sector: 0, sectors: 8 }), {}],
    ['an unknown request', { type: 99 }, {}],
    ['a request that is refused', blk.read(RIG_DISK_BYTES / 512, 4096), {}],
  ])('%s', (_, text, options) => {
    for (const ring of RINGS) {
      const logged = new LoggedRig({ ...options, ...ring });
      for (const skew of [0, 1, PAGE - HEADER_BYTES - 1]) {
        const { changed, marked } = logged.run(text, skew);
        // Equal bytes may have been written over equal ones: a page is marked all the same.
        expect(ofData(changed).length).toBeGreaterThan(0);
        expect(ofData(marked)).toEqual(ofData(changed));
        expect(marked.length).toBeGreaterThan(ofData(marked).length);
      }
    }
  });

  test('short transfers: each part is marked when it is there', () => {
    const isRead = (operation: Operation) => operation.kind === 'read';
    for (const direct of [false, true]) {
      const faultOf = faultsWhere(isRead, { shortBytes: 3 * 512 }, 5);
      const logged = new LoggedRig({ direct, faultOf });
      logged.run(blk.read(0, 32 * 1024), 512 - HEADER_BYTES);
      expect(ofData(logged.marked).length).toBeGreaterThanOrEqual(8);
    }
  });

  test('a read that fails after a part is marked as far as it may have come', () => {
    let reads = 0;
    const faultOf = (operation: Operation) => {
      if (operation.kind !== 'read') return undefined;
      return ++reads === 1 ? { shortBytes: 8192 } : failed.ioError;
    };
    const logged = new LoggedRig({ faultOf });
    const { status, marked } = logged.run(blk.read(0, 32 * 1024));
    expect(status).toBe(VIRTIO_BLK_S_IOERR);
    expect(ofData(marked).length).toBeGreaterThanOrEqual(8);
  });

  test('a read beyond the end of the file: the zeroes are marked, too', () => {
    const logged = new LoggedRig({ sizeBytes: 16 * 1024 });
    logged.rig.ram.fill(RIG_DATA_AT, 64 * 1024, 0xff);
    const { changed } = logged.run(blk.read(0, 48 * 1024));
    expect(ofData(changed).length).toBeGreaterThanOrEqual(12);
  });
});

describe('the ring', () => {
  test('is marked for flags and event indices, without any request', () => {
    for (const ring of RINGS) {
      const logged = new LoggedRig(ring);
      logged.rig.run(blk.read(0, 512));
      for (const act of ['suppressKicks', 'armKicks'] as const) {
        logged.look();
        logged.rig.device[act]();
        const { changed, marked } = logged;
        expect(marked).toEqual(expect.arrayContaining(changed));
        expect(marked.length, act).toBeGreaterThan(0);
      }
    }
  });

  test('is marked at its start, where flags of an earlier device may have been cleared', () => {
    expect(new LoggedRig({ eventIdx: true }).marked.length).toBeGreaterThan(0);
  });

  test('is marked before its index shows, and again after', () => {
    const logged = new LoggedRig();
    logged.rig.offer(blk.read(0, 512));
    logged.rig.serve();
    logged.rig.backing.reap(logged.rig.device, 1);
    logged.look();
    const { vring } = logged.rig.device.running[0]!;
    const publish = vring.publish.bind(vring);
    let before: number[] = [];
    vring.publish = () => {
      before = logged.marked;
      logged.log.fill(0);
      return publish();
    };
    logged.rig.device.publish();
    const isRing = (page: number) => page < RIG_DATA_AT / PAGE;
    expect(before.some(isRing)).toBe(true);
    expect(logged.marked.some(isRing)).toBe(true);
  });

  test('is not marked by turns in which nothing was written', () => {
    const logged = new LoggedRig();
    logged.rig.run(blk.read(0, 512));
    logged.look();
    for (let i = 0; i < 10; i++) logged.rig.turn();
    expect(logged.marked).toEqual([]);
  });
});

test('any requests, in any framing, over a file that is slow, short and broken', () => {
  const request = fc.record({
    kind: fc.constantFrom('read', 'read', 'write', 'discard', 'id'),
    sector: fc.nat(200),
    sectors: fc.integer({ min: 1, max: 80 }),
    cuts: fc.array(fc.nat(1000), { maxLength: 4 }),
    skewBytes: fc.constantFrom(0, 496, 1, PAGE - HEADER_BYTES - 300),
  });
  const scenario = fc.record({
    direct: fc.boolean(),
    ring: fc.constantFrom(...RINGS),
    requests: fc.array(request, { minLength: 1, maxLength: 6 }),
    faults: fc.array(fc.constantFrom(...HARMLESS_FAULTS, ...HARMFUL_FAULTS), { maxLength: 20 }),
  });
  holds(
    scenario,
    ({ direct, ring, requests, faults }) => {
      const faultOf = dealtFaults(faults, direct ? 512 : 1);
      const logged = new LoggedRig({ direct, ...ring, faultOf });
      for (const { kind, sector, sectors, cuts, skewBytes } of requests) {
        const bytes = sectors * 512;
        const at = cuts.map((cut) => Math.floor((cut * bytes) / 1000)).sort((a, b) => a - b);
        if (kind === 'read') logged.run(blk.read(sector, bytes, { writableCuts: at }), skewBytes);
        else if (kind === 'write') logged.run(blk.write(sector, noise(bytes, sector)), skewBytes);
        else if (kind === 'id') logged.run(blk.getId(), skewBytes);
        else logged.run(blk.discard({ sector, sectors }), skewBytes);
      }
    },
    60,
  );
});
