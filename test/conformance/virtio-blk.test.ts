/**
 * The device requirements of virtio 1.3 §5.2 (block device) that request decoding, features and the
 * config space decide, named by clause. What needs a backing file (stable writes, zeroes after
 * WRITE_ZEROES) is proved where one is.
 */
import { describe, expect, test } from 'vitest';
import { namesOfBits } from '../../protocol/layout.ts';
import { virtioBlkFeatures } from '../../protocol/virtio-blk.ts';
import {
  OP_FLUSH,
  OP_NONE,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../../src/blk/blk-request.ts';
import { encodeConfigSpace } from '../../src/blk/config-space.ts';
import type { DiskShape } from '../../src/blk/disk-shape.ts';
import { hasFeature, isWriteThrough, offeredFeatures } from '../../src/blk/features.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { decodeRequest } from '../support/mock-driver-decode.ts';

const IOERR = 1;
const UNSUPP = 2;
const FLUSH = 9;
const CONFIG_WCE = 11;
const SHAPE: DiskShape = {
  capacitySectors: 2048,
  blockSizeBytes: 512,
  physicalBlockBytes: 4096,
  discardGranularityBytes: 4096,
  discard: true,
  zeroesUnmap: true,
  readOnly: false,
  queueCount: 2,
  rangesMax: 16,
  serial: '',
};
const BOTH = [SHAPE, { ...SHAPE, readOnly: true }];

describe('virtio 1.3 §5.2.3 feature bits', () => {
  test('legacy BARRIER and SCSI, and ZONED, SECURE_ERASE, LIFETIME are not offered', () => {
    for (const shape of BOTH) {
      for (const bit of [0, 7, 15, 16, 17]) {
        expect(hasFeature(offeredFeatures(shape), bit)).toBe(false);
      }
    }
  });

  test('VERSION_1 is offered: a device of the 1.x specification (§6.2)', () => {
    for (const shape of BOTH) expect(hasFeature(offeredFeatures(shape), 32)).toBe(true);
  });
});

describe('virtio 1.3 §5.2.5.2 device', () => {
  test('MUST offer FLUSH if it offers CONFIG_WCE → both are offered always', () => {
    for (const shape of BOTH) {
      const names = namesOfBits(virtioBlkFeatures, offeredFeatures(shape));
      expect(names).toContain('VIRTIO_BLK_F_FLUSH');
      expect(names).toContain('VIRTIO_BLK_F_CONFIG_WCE');
    }
  });

  test('CONFIG_WCE without FLUSH negotiated, MUST initialize writeback to 0 → write-through', () => {
    expect(isWriteThrough(1n << BigInt(CONFIG_WCE), true)).toBe(true);
  });

  test('MUST initialize the padding bytes unused0 and unused1 to 0', () => {
    for (const shape of BOTH) {
      const bytes = encodeConfigSpace(shape, true);
      expect([bytes[33], bytes[57], bytes[58], bytes[59]]).toEqual([0, 0, 0, 0]);
    }
  });

  test('not zoned, SHOULD set all zoned characteristics to 0', () => {
    expect(
      encodeConfigSpace(SHAPE, true)
        .subarray(72)
        .every((byte) => byte === 0),
    ).toBe(true);
  });
});

describe('virtio 1.3 §5.2.6.1 driver', () => {
  test('MUST NOT submit a request past the capacity → IOERR', () => {
    const { request } = decodeRequest(blk.read(2047, 1024));
    expect([request.op, request.status]).toEqual([OP_NONE, IOERR]);
  });

  test('data length MUST be a multiple of 512 → IOERR', () => {
    expect(decodeRequest(blk.write(0, new Uint8Array(100))).request.status).toBe(IOERR);
  });

  test('SHOULD set the sector of FLUSH to 0 → the device does not insist', () => {
    expect(decodeRequest({ type: 4, sector: 77 }).request.op).toBe(OP_FLUSH);
  });

  test('VIRTIO_BLK_T_FLUSH_OUT and the barrier bit are legacy → taken as FLUSH and ignored', () => {
    expect(decodeRequest({ type: 5 }).request.op).toBe(OP_FLUSH);
    expect(decodeRequest({ ...blk.read(0, 512), type: 0x8000_0000 }).request.op).toBe(OP_READ);
  });
});

describe('virtio 1.3 §5.2.6.2 device', () => {
  const range = { sector: 0, sectors: 8 };

  test('RO offered → MUST set IOERR for a write request and MUST NOT write', () => {
    for (const text of [
      blk.write(0, new Uint8Array(512)),
      blk.discard(range),
      blk.writeZeroes(range),
    ]) {
      const { request } = decodeRequest(text, { readOnly: true });
      expect([request.op, request.status]).toEqual([OP_NONE, IOERR]);
    }
  });

  test('MUST set UNSUPP for discard and write zeroes if any unknown flag is set', () => {
    for (const text of [blk.discard, blk.writeZeroes]) {
      for (const flags of [2, 4, 1 << 30, 0xffff_fffe]) {
        expect(decodeRequest(text(range, { ...range, flags })).request.status).toBe(UNSUPP);
      }
    }
  });

  test('… whatever else is wrong: an unknown flag behind a range out of bounds', () => {
    const beyond = { sector: 2 ** 40, sectors: 1 };
    const { request } = decodeRequest(blk.writeZeroes(beyond, { ...range, flags: 2 }));
    expect([request.op, request.status]).toEqual([OP_NONE, UNSUPP]);
  });

  test('MUST set UNSUPP for discard if the unmap flag is set', () => {
    expect(decodeRequest(blk.discard({ ...range, flags: 1 })).request.status).toBe(UNSUPP);
  });

  test('write zeroes with unmap MAY deallocate → a permission that is passed on', () => {
    const { request } = decodeRequest(blk.writeZeroes({ ...range, flags: 1 }));
    expect([request.op, request.rangeUnmap[0]]).toEqual([OP_WRITE_ZEROES, 1]);
  });

  test('SHOULD clear write_zeroes_may_unmap iff write zeroes cannot deallocate → it can', () => {
    expect(encodeConfigSpace(SHAPE, true)[56]).toBe(1);
  });

  test('a type that is not supported → UNSUPP', () => {
    for (const type of [2, 10, 14, 15, 16, 0x1234]) {
      expect(decodeRequest({ type }).request.status).toBe(UNSUPP);
    }
  });

  test('stable when completed (1): neither CONFIG_WCE nor FLUSH negotiated, FLUSH offered', () => {
    expect(isWriteThrough(0n, true)).toBe(true);
  });

  test('stable when completed (2): CONFIG_WCE negotiated and writeback 0', () => {
    const acked = (1n << BigInt(CONFIG_WCE)) | (1n << BigInt(FLUSH));
    expect(isWriteThrough(acked, false)).toBe(true);
    expect(isWriteThrough(acked, true)).toBe(false);
  });

  test('stable only by FLUSH (3): FLUSH negotiated without CONFIG_WCE', () => {
    expect(isWriteThrough(1n << BigInt(FLUSH), false)).toBe(false);
  });
});

test('virtio 1.3 §5.2.4 sector and capacity count 512 bytes whatever blk_size is', () => {
  const { request } = decodeRequest(blk.write(8, new Uint8Array(4096)), { blockSizeBytes: 4096 });
  expect([request.op, request.offsetBytes]).toEqual([OP_WRITE, 4096]);
});
