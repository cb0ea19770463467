/**
 * The rules that vhost-user-blk back-ends get wrong, by number, as far as the pure rooms decide them.
 * Rule 1 (used length), 8 (the serial's bytes) and 11 (capacity) end in later rooms; here is their
 * part of the ground.
 */
import { describe, expect, test } from 'vitest';
import { OP_FLUSH, OP_GET_ID, OP_NONE, OP_READ, OP_WRITE } from '../../src/blk/blk-request.ts';
import { encodeConfigSpace } from '../../src/blk/config-space.ts';
import { RANGE_SECTORS_MAX, RANGES_MAX } from '../../src/blk/disk-shape.ts';
import { isWriteThrough } from '../../src/blk/features.ts';
import { diskSizeBytes } from '../../src/loop/geometry.ts';
import { ringViolations } from '../../src/virtqueue/ring-violation.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { decodeBuffers, decodeRequest } from '../support/mock-driver-decode.ts';
import { DATA_AT, ringSetup } from '../support/mock-driver-setup.ts';

const IOERR = 1;
const UNSUPP = 2;
const BUFFER = [{ address: DATA_AT, lengthBytes: 1, writable: true }];
const SHAPE = {
  capacitySectors: 2048,
  blockSizeBytes: 512,
  physicalBlockBytes: 512,
  discardGranularityBytes: 0,
  discard: true,
  zeroesUnmap: true,
  readOnly: false,
  queueCount: 1,
  rangesMax: 16,
  serial: '',
};

test('rule 1 (used length is what was written): the ring passes it on untouched, up to 2^32-1', () => {
  const setup = ringSetup();
  for (const written of [0, 1, 513, 0xffff_ffff]) {
    setup.driver.addChain(BUFFER);
    setup.driver.publish();
    setup.vring.pop(setup.chain);
    setup.vring.push(setup.chain.head, written);
    setup.vring.publish();
    expect(setup.driver.collect()[0]?.lengthBytes).toBe(written);
  }
});

describe('rule 2 (the status is the last writable byte, the header may be split)', () => {
  test('status in one descriptor with data, header in three', () => {
    const text = blk.read(1, 512, { readableCuts: [1, 9], writableCuts: [] });
    const { request, data, statusAddress, placed } = decodeRequest(text);
    expect([request.op, statusAddress]).toEqual([OP_READ, placed.statusAddress]);
    expect(data[0]?.[1]).toBe(512);
  });

  test('status alone behind an empty descriptor, header and data in one', () => {
    const text = blk.write(1, new Uint8Array(512), { readableCuts: [], writableCuts: [0, 1] });
    const { request, statusAddress, placed } = decodeRequest(text);
    expect([request.op, request.lengthBytes, statusAddress]).toEqual([
      OP_WRITE,
      512,
      placed.statusAddress,
    ]);
  });
});

test('rule 3 (a malformed chain with a writable byte is answered): IOERR, the ring lives', () => {
  const { outcome, request, setup } = decodeBuffers([
    { address: DATA_AT, lengthBytes: 3 },
    { address: DATA_AT + 64, lengthBytes: 1, writable: true },
  ]);
  expect([outcome, request.op, request.status]).toEqual([0, OP_NONE, IOERR]);
  expect(setup.vring.broken).toBe(0);
});

test('rule 3 (a zero-length descriptor is no reason to panic)', () => {
  const text = blk.read(0, 512, { readableCuts: [0, 16], writableCuts: [0, 512] });
  expect(decodeRequest(text).request.op).toBe(OP_READ);
});

test('rule 4 (sectors are 512 bytes; unaligned, past the end and overflow are IOERR)', () => {
  const of = (sector: number | bigint, bytes: number, blockSizeBytes = 512) =>
    decodeRequest(blk.read(sector, bytes), { blockSizeBytes }).request;
  expect(of(8, 4096, 4096).offsetBytes).toBe(4096);
  const wrong = [
    of(0, 128),
    of(1, 4096, 4096),
    of(0, 512, 4096),
    of(2048, 512),
    of(2n ** 55n, 512),
  ];
  expect(wrong.map(({ op, status }) => [op, status])).toEqual(wrong.map(() => [OP_NONE, IOERR]));
});

test('rule 5 (FLUSH takes any sector and no data)', () => {
  expect(decodeRequest({ type: 4, sector: 5 }).request.op).toBe(OP_FLUSH);
});

test('rule 6 (cache mode): the whole table of FLUSH, CONFIG_WCE and writeback', () => {
  const [flush, wce] = [1n << 9n, 1n << 11n];
  const table = [0n, flush, wce, flush | wce].map((acked) => [
    isWriteThrough(acked, false),
    isWriteThrough(acked, true),
  ]);
  expect(table).toEqual([
    [true, true],
    [false, false],
    [true, true],
    [true, false],
  ]);
});

test('rule 7 (RO: IOERR for OUT, DISCARD, WRITE_ZEROES; never touch media)', () => {
  const range = { sector: 0, sectors: 1 };
  for (const text of [
    blk.write(0, new Uint8Array(512)),
    blk.discard(range),
    blk.writeZeroes(range),
  ]) {
    const { request } = decodeRequest(text, { readOnly: true, discard: false });
    expect([request.op, request.status]).toEqual([OP_NONE, IOERR]);
  }
});

test('rule 8 (GET_ID): a buffer of any size is taken, the status byte is not part of it', () => {
  const { request, data, statusAddress } = decodeRequest(blk.getId(20));
  expect([request.op, data]).toEqual([OP_GET_ID, [[DATA_AT + 16, 20]]]);
  expect(statusAddress).toBe(DATA_AT + 36);
});

describe('rule 9 (DISCARD and WRITE_ZEROES)', () => {
  const range = { sector: 0, sectors: 1 };
  const statusOf = (text: Parameters<typeof decodeRequest>[0], capacitySectors = 2048) =>
    decodeRequest(text, { capacitySectors }).request.status;

  test('payload in sixteens; ranges up to the promised number; sectors up to the promised limit', () => {
    expect(statusOf({ type: 11, dataOut: new Uint8Array(17) })).toBe(IOERR);
    const many = Array.from({ length: RANGES_MAX + 1 }, () => range);
    expect(statusOf(blk.discard(...many))).toBe(UNSUPP);
    const wide = { sector: 0, sectors: RANGE_SECTORS_MAX + 1 };
    expect(statusOf(blk.writeZeroes(wide), 2 ** 40)).toBe(IOERR);
  });

  test('num_sectors × 512 beyond 2^32 stays exact', () => {
    // 2^23 sectors are 2^32 bytes: in 32 bits that would be nothing at all.
    expect(statusOf(blk.discard({ sector: 0, sectors: 2 ** 23 }))).toBe(IOERR);
    expect(statusOf(blk.discard({ sector: 2 ** 23 + 1, sectors: 1 }))).toBe(IOERR);
  });

  test('every range is checked before the first is acted on', () => {
    const { request } = decodeRequest(blk.discard(range, { sector: 2048, sectors: 1 }));
    expect([request.op, request.rangeCount]).toEqual([OP_NONE, 0]);
  });

  test('discard_sector_alignment is not zero', () => {
    const view = new DataView(encodeConfigSpace(SHAPE, true).buffer);
    expect(view.getUint32(44, true)).toBeGreaterThan(0);
  });
});

test('rule 10 (write_zeroes_may_unmap is cleared only where nothing can be deallocated)', () => {
  expect(encodeConfigSpace(SHAPE, true)[56]).toBe(1);
});

test('rule 11 (capacity floors to 512 bytes): no sector that the file has only part of', () => {
  for (const [fileSizeBytes, sizeBytes] of [
    [512, 512],
    [1023, 512],
    [1024 * 1024 + 511, 1024 * 1024],
  ] as const) {
    const request = { fileSizeBytes, offsetBytes: 0, sizeLimitBytes: 0, blockSizeBytes: 512 };
    expect(diskSizeBytes(request)).toBe(sizeBytes);
  }
});

describe('rule 12 (descriptors)', () => {
  test('a loop breaks the ring, in bounded time', () => {
    const setup = ringSetup({ size: 32768 });
    setup.driver.rawDescriptor(0, { address: DATA_AT, lengthBytes: 0, flags: 1, next: 0 });
    setup.driver.offer(0);
    setup.driver.publish();
    expect(ringViolations.nameOf(setup.vring.pop(setup.chain))).toBe('CHAIN_TOO_LONG');
  });

  test('an indirect table may straddle regions', () => {
    const border = DATA_AT + 24;
    const regions = [[DATA_AT, 24] as const, [border, 0x1000] as const];
    const setup = ringSetup({ regions });
    setup.driver.addChain(
      [
        { address: border + 64, lengthBytes: 16 },
        { ...BUFFER[0]!, address: border + 99 },
      ],
      { indirectAt: DATA_AT },
    );
    setup.driver.publish();
    expect(setup.vring.pop(setup.chain)).toBe(1);
    expect(setup.chain.segmentCount).toBe(2);
  });
});

test('rule 13 (EVENT_IDX: flags are ignored, used_event decides, arming re-checks avail.idx)', () => {
  const setup = ringSetup({ eventIdx: true });
  setup.driver.rawAvailFlags(1);
  setup.driver.rawUsedEvent(1);
  const calls = [0, 1].map(() => {
    setup.driver.addChain(BUFFER);
    setup.driver.publish();
    expect(setup.vring.armKicks()).toBe(true);
    setup.vring.pop(setup.chain);
    setup.vring.push(setup.chain.head, 1);
    return setup.vring.publish();
  });
  expect(calls).toEqual([false, true]);
});

test('rule 15 (avail.idx more than a ring ahead breaks it; arithmetic is modulo 2^16)', () => {
  const wrapped = ringSetup({ size: 8, base: 65534 });
  wrapped.driver.rawAvailIdx(6);
  expect(wrapped.vring.pop(wrapped.chain)).toBe(1);
  const jumped = ringSetup({ size: 8, base: 65534 });
  jumped.driver.rawAvailIdx(7);
  expect(ringViolations.nameOf(jumped.vring.pop(jumped.chain))).toBe('AVAIL_IDX_JUMP');
});
