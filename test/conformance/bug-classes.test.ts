/**
 * The bug classes that other back-ends were found to have, by number: what a hostile driver can do to
 * rings and requests. Classes that need a session, a worker or a backing file have their tests there;
 * class 4 has a file of its own. The table in test/README.md says where each is.
 */
import { describe, expect, test } from 'vitest';
import { OP_NONE, OP_READ } from '../../src/blk/blk-request.ts';
import { encodeConfigSpace, isWritebackWrite } from '../../src/blk/config-space.ts';
import { hasFeature, offeredFeatures } from '../../src/blk/features.ts';
import { invalidRegion } from '../../src/memory/region-table.ts';
import { DescriptorChain } from '../../src/virtqueue/descriptor-chain.ts';
import { ringViolations } from '../../src/virtqueue/ring-violation.ts';
import { activateVring, invalidVringSize } from '../../src/virtqueue/vring-config.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { decodeBuffers, decodeRequest } from '../support/mock-driver-decode.ts';
import { CountedView, countReads } from '../support/mock-driver-flipper.ts';
import { plainRam } from '../support/mock-driver-memory.ts';
import type { RawDescriptor } from '../support/mock-driver-ring.ts';
import { DATA_AT, RING_AT, ringSetup } from '../support/mock-driver-setup.ts';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const A = DATA_AT;
const TABLE = DATA_AT + 0x1000;
const SIZE = 8;
const IOERR = 1;
const UNSUPP = 2;
const SHAPE = {
  capacitySectors: 2048,
  blockSizeBytes: 512,
  physicalBlockBytes: 512,
  discardGranularityBytes: 512,
  discard: true,
  zeroesUnmap: true,
  readOnly: false,
  queueCount: 1,
  rangesMax: 16,
  serial: '',
};

function violation(
  ring: readonly RawDescriptor[],
  table: readonly RawDescriptor[] = [],
  regions: ReadonlyArray<readonly [number, number]> = [[A, 0x4000]],
): string | number {
  const setup = ringSetup({ size: SIZE, regions });
  setup.driver.rawTable(setup.driver.place.desc, ring);
  if (table.length > 0) setup.driver.rawTable(TABLE, table);
  setup.driver.offer(0);
  setup.driver.publish();
  const result = setup.vring.pop(setup.chain);
  return result < 0 ? ringViolations.nameOf(result) : result;
}

test('bug class 1 (descriptor loop, over-long chain): self, pair, in a table, of empty buffers', () => {
  const loop = (lengthBytes: number, next: number) => ({
    address: A,
    lengthBytes,
    flags: NEXT,
    next,
  });
  const toTable = [{ address: TABLE, lengthBytes: 32, flags: INDIRECT }];
  expect([
    violation([loop(1, 0)]),
    violation([loop(1, 1), loop(1, 0)]),
    violation(toTable, [loop(1, 1), loop(1, 0)]),
    violation([loop(0, 0)]),
    violation(toTable, [loop(0, 0), loop(0, 0)]),
  ]).toEqual(new Array(5).fill('CHAIN_TOO_LONG'));
});

test('bug class 1 (over-long chain, in bytes): the largest lengths 512 times', () => {
  const table = Array.from({ length: 512 }, (_, i) => ({
    address: A,
    lengthBytes: 0x100_0000,
    flags: NEXT,
    next: i + 1,
  }));
  const ring = [{ address: TABLE, lengthBytes: 16 * 512, flags: INDIRECT }];
  expect(violation(ring, table, [[A, 0x100_0000]])).toBe('CHAIN_TOO_LONG');
});

test('bug class 2 (zero length or invalid address): length 0 is legal anywhere, 1 is not', () => {
  for (const address of [0n, BigInt(A + 0x4000), 2n ** 53n, 2n ** 64n - 1n]) {
    expect(violation([{ address, lengthBytes: 0 }])).toBe(1);
    expect(violation([{ address, lengthBytes: 1 }])).toMatch(/^CHAIN_ADDRESS_/);
  }
});

describe('bug class 3 (address + length overflow, ranges over regions)', () => {
  test.each([2n ** 64n - 1n, 2n ** 53n + 1n, 2n ** 64n - 0x1000n])('address %i', (address) => {
    expect(violation([{ address, lengthBytes: 0x2000 }])).toBe('CHAIN_ADDRESS_TOO_LARGE');
  });

  test('an end that is its start: the longest length from a mapped address', () => {
    expect(violation([{ address: A, lengthBytes: 0xffff_ffff }])).toBe('CHAIN_ADDRESS_UNMAPPED');
  });

  test('two regions with a hole of one byte', () => {
    const regions = [[A, 16] as const, [A + 17, 16] as const];
    expect(violation([{ address: A, lengthBytes: 16 }], [], regions)).toBe(1);
    expect(violation([{ address: A, lengthBytes: 32 }], [], regions)).toBe(
      'CHAIN_ADDRESS_UNMAPPED',
    );
  });

  test('two that touch in guest addresses are not taken for one in host addresses', () => {
    const setup = ringSetup({ regions: [[A, 16] as const, [A + 16, 16] as const] });
    setup.driver.addChain([{ address: A, lengthBytes: 32 }]);
    setup.driver.publish();
    setup.vring.pop(setup.chain);
    expect([setup.chain.segmentCount, setup.chain.slot[0], setup.chain.slot[1]]).toEqual([2, 1, 2]);
  });

  test('a region whose end wraps is refused before it is mapped', () => {
    const region = { guestAddress: 2 ** 53 - 4096, sizeBytes: 8192, userAddress: 0, mmapOffset: 0 };
    expect(invalidRegion(region)).toMatch(/not below 2\^53/);
  });
});

describe('bug class 5 (indirect abuse)', () => {
  const one = { address: A, lengthBytes: 1 };

  test('every length from 0 to 64: only multiples of 16 from 16 on', () => {
    for (let lengthBytes = 0; lengthBytes <= 64; lengthBytes++) {
      const right = lengthBytes > 0 && lengthBytes % 16 === 0;
      const outcome = violation([{ address: TABLE, lengthBytes, flags: INDIRECT }], [one]);
      expect([lengthBytes, outcome]).toEqual([lengthBytes, right ? 1 : 'INDIRECT_LENGTH']);
    }
  });

  test('nested, with NEXT, huge', () => {
    const table = { address: TABLE, lengthBytes: 16, flags: INDIRECT };
    expect(violation([table], [table])).toBe('INDIRECT_NESTED');
    expect(violation([{ ...table, flags: INDIRECT | NEXT }], [one])).toBe('INDIRECT_WITH_NEXT');
    expect(violation([{ ...table, lengthBytes: 0xffff_fff0 }], [one])).toBe('INDIRECT_LENGTH');
  });
});

test('bug class 6 (unbounded submission): no more chains in flight than the ring has heads', () => {
  const setup = ringSetup({ size: SIZE });
  const buffer = [{ address: A, lengthBytes: 1, writable: true }];
  const heads = Array.from({ length: SIZE }, () => setup.driver.addChain(buffer));
  setup.driver.publish();
  while (setup.vring.pop(setup.chain) === 1);
  expect(setup.vring.inFlightCount).toBe(SIZE);
  // Nothing was given back: whatever head comes next is in flight already.
  for (const head of heads) setup.driver.offer(head);
  setup.driver.publish();
  expect(ringViolations.nameOf(setup.vring.pop(setup.chain))).toBe('HEAD_IN_FLIGHT');
  expect(setup.vring.inFlightCount).toBe(SIZE);
});

test('bug class 7 (the same head twice in flight): refused, and the first completes once', () => {
  const setup = ringSetup({ size: SIZE });
  const head = setup.driver.addChain([{ address: A, lengthBytes: 1, writable: true }]);
  setup.driver.offer(head);
  setup.driver.publish();
  setup.vring.pop(setup.chain);
  expect(ringViolations.nameOf(setup.vring.pop(setup.chain))).toBe('HEAD_IN_FLIGHT');
  setup.vring.push(head, 1);
  setup.vring.publish();
  expect([setup.driver.usedIdx, setup.vring.inFlightCount]).toEqual([1, 0]);
});

test('bug class 8 (avail.idx jumps, head ≥ size): idx + 65535, idx + size + 1, head = size, 65535', () => {
  for (const jump of [65535, SIZE + 1]) {
    const setup = ringSetup({ size: SIZE, base: 1000 });
    setup.driver.rawAvailIdx(1000 + jump);
    expect(ringViolations.nameOf(setup.vring.pop(setup.chain))).toBe('AVAIL_IDX_JUMP');
  }
  for (const head of [SIZE, 0xffff]) {
    const setup = ringSetup({ size: SIZE });
    setup.driver.offer(head);
    setup.driver.publish();
    expect(ringViolations.nameOf(setup.vring.pop(setup.chain))).toBe('HEAD_OUT_OF_RANGE');
  }
});

test('bug class 9 (ring geometry): size 0, no power of two, and more than 32768 do not start', () => {
  const memory = plainRam([RING_AT, 0x10_0000]).deviceMemory();
  const user = 0x5500_0000_0000 + RING_AT;
  const addresses = { desc: user, avail: user + 0x1000, used: user + 0x2000 };
  const options = { packed: false, inOrder: false, eventIdx: false, indirect: false, base: 0 };
  for (const size of [0, 3, 6, 65536, 2 ** 31]) {
    expect(activateVring(memory, { size, addresses }, options)).toMatch(/^num=/);
  }
});

test('bug class 10 (truncation): a size, an offset or a sector that is right in its low bits only', () => {
  expect(invalidVringSize(2 ** 16 + 8)).not.toBeNull();
  expect(invalidVringSize(2 ** 32 + 8)).not.toBeNull();
  expect(isWritebackWrite(2 ** 32 + 32, 1)).toBe(false);
  expect(isWritebackWrite(32, 2 ** 8 + 1)).toBe(false);
  for (const sector of [2n ** 32n, 2n ** 55n, 2n ** 63n]) {
    expect(decodeRequest(blk.read(sector, 512)).request.status).toBe(IOERR);
  }
});

test('bug class 18 (rings over each other, over data, unaligned): nothing throws, nothing spins', () => {
  const memory = plainRam([RING_AT, 256]).deviceMemory();
  const user = 0x5500_0000_0000 + RING_AT;
  const chain = new DescriptorChain(4);
  let started = 0;
  for (let desc = 0; desc < 256; desc += 8) {
    for (let avail = 0; avail < 256; avail += 5) {
      for (let used = 0; used < 256; used += 6) {
        const addresses = { desc: user + desc, avail: user + avail, used: user + used };
        const eventIdx = used % 12 === 0;
        const options = { packed: false, inOrder: false, eventIdx, indirect: true, base: 0xffff };
        const vring = activateVring(memory, { size: 4, addresses }, options);
        if (typeof vring === 'string') continue;
        started++;
        memory.bytesOfSlot[0]!.fill(desc ^ avail ^ used);
        for (let turn = 0; turn < 3; turn++) {
          if (vring.pop(chain) === 1) vring.push(chain.head, 0xffff_ffff);
          vring.publish();
          vring.armKicks();
        }
      }
    }
  }
  expect(started).toBeGreaterThan(1000);
});

test('bug class 20 (used.len lies): decoding touches no writable byte, so none is reported stale', () => {
  const { placed, request } = decodeRequest(blk.read(0, 512));
  expect(placed.bytes(true).every((byte) => byte === 0xee)).toBe(true);
  expect(request.lengthBytes).toBe(512);
});

describe('bug class 21 (short or unaligned requests, split headers, status of another size)', () => {
  test('every way to cut 16 + 0 + 1 bytes in two, and every header that is too short', () => {
    for (let cut = 0; cut <= 16; cut++) {
      const text = { ...blk.read(0, 512), readableCuts: [cut], gapBytes: 1 };
      expect(decodeRequest(text).request.op).toBe(OP_READ);
      const short = decodeBuffers([
        { address: A, lengthBytes: cut },
        { address: A + 64, lengthBytes: 1, writable: true },
      ]);
      // 16 zero bytes are an IN of nothing, which is done at once.
      expect([cut, short.request.op, short.request.status]).toEqual([
        cut,
        OP_NONE,
        cut < 16 ? IOERR : 0,
      ]);
    }
  });

  test('data that is no multiple of 512', () => {
    for (const bytes of [1, 128, 511, 513]) {
      expect(decodeRequest(blk.read(0, bytes)).request.status).toBe(IOERR);
    }
  });

  test('no writable byte: there is nowhere to answer, the ring breaks', () => {
    expect(decodeBuffers([{ address: A, lengthBytes: 16 }]).outcome).toBe('REQUEST_NO_STATUS_BYTE');
  });
});

describe('bug class 22 (underflow, unbounded loops): a loop reads no more than its table has', () => {
  const loopOfNothing = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NEXT | WRITE, 0, 0, 0);

  test('in the ring', () => {
    const ram = plainRam([A, 16 * 1024]);
    const table = new CountedView(ram.regions[0]!.bytes, false);
    ram.write(A, loopOfNothing);
    const chain = new DescriptorChain(1024);
    const result = chain.walk(ram.deviceMemory(), table, 1024, 0, true);
    expect(ringViolations.nameOf(result)).toBe('CHAIN_TOO_LONG');
    expect(table.reads.total).toBeLessThanOrEqual(16 * 1024);
  });

  test('in an indirect table', () => {
    const setup = ringSetup({ size: SIZE });
    setup.driver.rawDescriptor(0, { address: TABLE, lengthBytes: 16 * 4, flags: INDIRECT });
    setup.ram.write(TABLE, loopOfNothing);
    const reads = countReads(setup.memory, 1, false);
    setup.driver.offer(0);
    setup.driver.publish();
    expect(ringViolations.nameOf(setup.vring.pop(setup.chain))).toBe('CHAIN_TOO_LONG');
    expect(reads.total).toBeLessThanOrEqual(16 * 4);
  });
});

test('bug class 23 (SCSI pass-through): never offered, its type answers UNSUPP', () => {
  expect(hasFeature(offeredFeatures(SHAPE), 7)).toBe(false);
  const { request } = decodeRequest({ type: 2, dataOut: new Uint8Array(96), dataInBytes: 96 });
  expect([request.op, request.status]).toEqual([OP_NONE, UNSUPP]);
});

test('bug class 25 (SET_CONFIG beyond writeback): one byte at one offset, whatever is asked', () => {
  const bytes = encodeConfigSpace(SHAPE, true).length;
  let allowed = 0;
  for (let offset = 0; offset <= bytes + 8; offset++) {
    for (let size = 0; size <= bytes + 8; size++) if (isWritebackWrite(offset, size)) allowed++;
  }
  expect([allowed, isWritebackWrite(32, 1)]).toEqual([1, true]);
});
