/**
 * What a request decodes to: every type, every check, and the status of what is refused. Framing has
 * its own file.
 */
import { describe, expect, test } from 'vitest';
import { OP_FLUSH, OP_GET_ID, OP_NONE, OP_READ, OP_WRITE } from '../../../src/blk/blk-request.ts';
import { SEG_MAX } from '../../../src/blk/disk-shape.ts';
import { blk, blkHeader, STATUS_POISON } from '../../support/mock-driver-blk.ts';
import { decodeBuffers, decodeRequest, LIMITS } from '../../support/mock-driver-decode.ts';
import { DATA_AT, ringSetup } from '../../support/mock-driver-setup.ts';

const OK = 0;
const IOERR = 1;
const UNSUPP = 2;
const { capacitySectors } = LIMITS;

describe('IN and OUT', () => {
  test('IN yields its writable bytes before the status', () => {
    const { request, data, statusAddress, placed } = decodeRequest(blk.read(3, 1024));
    expect([request.op, request.offsetBytes, request.lengthBytes]).toEqual([OP_READ, 1536, 1024]);
    expect(data).toEqual([[DATA_AT + 16, 1024]]);
    expect(statusAddress).toBe(placed.statusAddress);
  });

  test('OUT yields its readable bytes after the header', () => {
    const { request, data, statusAddress } = decodeRequest(blk.write(3, new Uint8Array(512)));
    expect([request.op, request.offsetBytes, request.lengthBytes]).toEqual([OP_WRITE, 1536, 512]);
    expect(data).toEqual([[DATA_AT + 16, 512]]);
    expect(statusAddress).toBe(DATA_AT + 16 + 512);
  });

  test('the last sector is inside, the range behind it is not', () => {
    expect(decodeRequest(blk.read(capacitySectors - 1, 512)).request.op).toBe(OP_READ);
    expect(decodeRequest(blk.read(capacitySectors - 1, 1024)).request.status).toBe(IOERR);
  });

  test.each([
    capacitySectors,
    capacitySectors + 1,
    2 ** 32,
    2n ** 53n,
    2n ** 55n,
    // times 512 these wrap to the first sector of the disk
    2n ** 63n,
    2n ** 64n - 1n,
  ])('sector %i is past the end', (sector) => {
    const { request } = decodeRequest(blk.read(sector, 512));
    expect([request.op, request.status]).toEqual([OP_NONE, IOERR]);
  });

  test.each([1, 511, 513, 1023])('%i bytes are no whole sectors', (bytes) => {
    expect(decodeRequest(blk.read(0, bytes)).request.status).toBe(IOERR);
    expect(decodeRequest(blk.write(0, new Uint8Array(bytes))).request.status).toBe(IOERR);
  });

  test.each([
    [0, 512, false],
    [0, 4096, true],
    [1, 4096, false],
    [7, 4096, false],
    [8, 4096, true],
    [8, 4608, false],
    [8, 8192, true],
  ])('on 4 KiB blocks sector %i with %i bytes: %s', (sector, bytes, right) => {
    const { request } = decodeRequest(blk.read(sector, bytes), { blockSizeBytes: 4096 });
    expect(request.op).toBe(right ? OP_READ : OP_NONE);
    if (right) expect(request.offsetBytes).toBe(sector * 512);
    else expect(request.status).toBe(IOERR);
  });

  test('no data is done at once, up to the end of the disk', () => {
    for (const sector of [0, capacitySectors]) {
      const { request } = decodeRequest(blk.read(sector, 0));
      expect([request.op, request.status]).toEqual([OP_NONE, OK]);
    }
    expect(decodeRequest(blk.read(capacitySectors + 1, 0)).request.status).toBe(IOERR);
  });

  test('the legacy barrier bit and the I/O priority are ignored', () => {
    const barrier = { ...blk.read(1, 512), type: 0x8000_0000, ioprio: 0xffff_ffff };
    const { request } = decodeRequest(barrier);
    expect([request.op, request.offsetBytes, request.type]).toEqual([OP_READ, 512, 0x8000_0000]);
  });

  test('SEG_MAX data descriptors, header and status decode', () => {
    const cuts = Array.from({ length: SEG_MAX }, (_, i) => 16 + i * 512);
    const { request, setup } = decodeRequest(
      blk.write(0, new Uint8Array(SEG_MAX * 512), { readableCuts: cuts }),
    );
    expect(request.lengthBytes).toBe(SEG_MAX * 512);
    expect(setup.chain.segmentCount).toBe(SEG_MAX + 2);
  });
});

describe('read-only', () => {
  const readOnly = { readOnly: true, discard: false, writeZeroes: false };
  const range = { sector: 0, sectors: 8 };

  test.each([
    ['OUT', blk.write(0, new Uint8Array(512))],
    ['OUT without data', blk.write(0, new Uint8Array(0))],
    ['DISCARD', blk.discard(range)],
    ['WRITE_ZEROES', blk.writeZeroes(range)],
  ])('%s answers IOERR', (_, text) => {
    const { request } = decodeRequest(text, readOnly);
    expect([request.op, request.status]).toEqual([OP_NONE, IOERR]);
  });

  test('IN, FLUSH and GET_ID work', () => {
    expect(decodeRequest(blk.read(0, 512), readOnly).request.op).toBe(OP_READ);
    expect(decodeRequest({ type: 4 }, readOnly).request.op).toBe(OP_FLUSH);
    expect(decodeRequest(blk.getId(), readOnly).request.op).toBe(OP_GET_ID);
  });
});

describe('FLUSH', () => {
  test.each([4, 5, 0x8000_0004])('type %i', (type) => {
    expect(decodeRequest({ type }).request.op).toBe(OP_FLUSH);
  });

  test('with a sector, which only the driver is told to leave 0', () => {
    expect(decodeRequest({ type: 4, sector: 2n ** 64n - 1n }).request.op).toBe(OP_FLUSH);
  });

  test('with data nobody asked for', () => {
    const { request } = decodeRequest({ type: 4, dataOut: new Uint8Array(7), dataInBytes: 9 });
    expect(request.op).toBe(OP_FLUSH);
  });
});

describe('GET_ID', () => {
  test.each([0, 1, 19, 20, 21, 512])('yields a buffer of %i bytes', (bytes) => {
    const { request, data } = decodeRequest(blk.getId(bytes));
    expect(request.op).toBe(OP_GET_ID);
    expect(data).toEqual(bytes === 0 ? [] : [[DATA_AT + 16, bytes]]);
  });
});

describe('types that are not served answer UNSUPP', () => {
  // SCSI_CMD, GET_LIFETIME, SECURE_ERASE, zone requests, and numbers of nothing.
  test.each([
    2, 3, 6, 7, 9, 10, 12, 14, 15, 16, 18, 26, 255, 0x7fff_ffff, 0x0100_0000, 0xffff_ffff,
  ])('type %i', (type) => {
    const { request } = decodeRequest({ type, dataInBytes: 512 });
    expect([request.op, request.status, request.type]).toEqual([OP_NONE, UNSUPP, type]);
  });
});

describe('a chain that is no request', () => {
  const at = (lengthBytes: number, writable = false, address = DATA_AT) => ({
    address,
    lengthBytes,
    writable,
  });

  test.each([
    ['nothing writable', [at(16)]],
    ['an empty writable buffer', [at(16), at(0, true)]],
    ['empty buffers only', [at(0), at(0, true)]],
  ])('%s: there is no place for a status', (_, buffers) => {
    expect(decodeBuffers(buffers).outcome).toBe('REQUEST_NO_STATUS_BYTE');
  });

  test.each([0, 1, 15])('a header of %i bytes answers IOERR', (bytes) => {
    const { outcome, request, statusAddress } = decodeBuffers([
      at(bytes),
      at(1, true, DATA_AT + 32),
    ]);
    expect([outcome, request.op, request.status]).toEqual([0, OP_NONE, IOERR]);
    expect(statusAddress).toBe(DATA_AT + 32);
  });

  test('a header that is short does not take bytes of the writable part', () => {
    const setup = ringSetup();
    setup.ram.write(DATA_AT, blkHeader(4));
    const { request } = decodeBuffers([at(8), at(9, true, DATA_AT + 8)], {}, setup);
    expect([request.op, request.status]).toEqual([OP_NONE, IOERR]);
  });
});

test('decoding writes nothing into guest memory', () => {
  const { placed } = decodeRequest(blk.read(0, 512));
  expect([...placed.bytes(true)]).toEqual(new Array(513).fill(STATUS_POISON));
});

test('nothing of an earlier request is left in the next', () => {
  const setup = ringSetup({ size: 128 });
  const first = decodeRequest(blk.writeZeroes({ sector: 0, sectors: 8, flags: 1 }));
  const { request } = first;
  setup.ram.write(DATA_AT, blkHeader(99));
  setup.driver.addChain([
    { address: DATA_AT, lengthBytes: 16 },
    { address: DATA_AT + 64, lengthBytes: 1, writable: true },
  ]);
  setup.driver.publish();
  setup.vring.pop(setup.chain);
  request.decode(setup.chain, setup.memory, LIMITS);
  expect([request.op, request.status, request.rangeCount, request.lengthBytes]).toEqual([
    OP_NONE,
    UNSUPP,
    0,
    0,
  ]);
});
