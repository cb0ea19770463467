/**
 * Reads and writes of the loop device: short transfers go on, the end of the file reads as zeroes, what
 * direct I/O cannot take is bounced, errors become one status and one event.
 */
import { describe, expect, test } from 'vitest';
import { EAGAIN, EIO, ENOSPC } from '../../../protocol/linux.ts';
import { VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK } from '../../../protocol/virtio-blk.ts';
import { OP_READ, OP_WRITE } from '../../../src/blk/blk-request.ts';
import { BOUNCE_BYTES } from '../../../src/loop/bounce-buffers.ts';
import { failed, faultsWhere } from '../../support/faulty-backing.ts';
import { noise } from '../../support/image-content.ts';
import { LoopRig } from '../../support/loop-rig.ts';
import { blk } from '../../support/mock-driver-blk.ts';

const KIB = 1024;
const isWrite = (operation: { kind: string }) => operation.kind === 'write';
const isRead = (operation: { kind: string }) => operation.kind === 'read';

describe.each([false, true])('direct I/O %s', (direct) => {
  test('a write arrives, and is read back', () => {
    const rig = new LoopRig({ direct });
    const data = noise(32 * KIB, 1);
    expect(rig.run(blk.write(100, data))).toBe(VIRTIO_BLK_S_OK);
    expect(Buffer.from(rig.backing.content.subarray(51_200, 51_200 + data.length))).toEqual(data);
    const read = rig.offer(blk.read(100, data.length));
    rig.settle();
    expect(read.answers).toEqual([data.length + 1]);
    expect(Buffer.from(read.placed.dataIn)).toEqual(data);
  });

  test('the disk starts at its offset in the file', () => {
    const rig = new LoopRig({ direct, fileOffsetBytes: 4096, sizeBytes: 64 * KIB });
    rig.run(blk.write(1, noise(512, 2)));
    expect(Buffer.from(rig.backing.content.subarray(4608, 5120))).toEqual(noise(512, 2));
  });

  test('one operation for a request in one piece, and one for a request in many', () => {
    const rig = new LoopRig({ direct });
    rig.run(blk.write(0, noise(8 * KIB, 3)));
    rig.run(blk.write(0, noise(8 * KIB, 4), { readableCuts: [16, 16 + 4096], gapBytes: 496 }));
    const lengths = rig.backing.submitted.map((operation) => operation.lengthBytes);
    if (!direct) expect(lengths).toEqual([8 * KIB, 8 * KIB]);
    expect(Buffer.from(rig.backing.content.subarray(0, 8 * KIB))).toEqual(noise(8 * KIB, 4));
  });

  test('short writes and reads go on where they stopped', () => {
    const rig = new LoopRig({ direct });
    const data = noise(64 * KIB, 5);
    // Each operation does 4 KiB and no more.
    rig.backing.faultOf = () => ({ shortBytes: 4096 });
    const cuts = { readableCuts: [16, 16 + 20 * KIB], gapBytes: 512 - 16 };
    expect(rig.run(blk.write(8, data, cuts))).toBe(VIRTIO_BLK_S_OK);
    expect(rig.backing.submitted).toHaveLength(16);
    const read = rig.offer(blk.read(8, data.length, { writableCuts: [512, 40 * KIB] }));
    rig.settle();
    expect(read.placed.status).toBe(VIRTIO_BLK_S_OK);
    expect(Buffer.from(read.placed.dataIn)).toEqual(data);
  });

  test.each(['again', 'interrupted'] as const)('%s is tried again', (fault) => {
    const rig = new LoopRig({ direct });
    rig.backing.faultOf = faultsWhere(() => true, failed[fault], 10);
    expect(rig.run(blk.write(0, noise(512, 6)))).toBe(VIRTIO_BLK_S_OK);
    expect(rig.backing.submitted).toHaveLength(11);
    expect(rig.ioErrors).toEqual([]);
  });

  test('bug class 22: what is always tried again ends as an error, in bounded time', () => {
    const rig = new LoopRig({ direct });
    rig.backing.faultOf = () => failed.again;
    expect(rig.run(blk.read(0, 512))).toBe(VIRTIO_BLK_S_IOERR);
    expect(rig.backing.submitted.length).toBeLessThan(200);
    expect(rig.ioErrors).toEqual([{ op: OP_READ, errno: EAGAIN, offsetBytes: 0 }]);
  });

  test('a write that makes no progress ends as an error, in bounded time', () => {
    const rig = new LoopRig({ direct });
    rig.backing.faultOf = () => ({ shortBytes: 0 });
    expect(rig.run(blk.write(0, noise(512, 7)))).toBe(VIRTIO_BLK_S_IOERR);
    expect(rig.backing.submitted.length).toBeLessThan(200);
    expect(rig.ioErrors).toEqual([{ op: OP_WRITE, errno: EIO, offsetBytes: 0 }]);
  });

  test.each([
    ['ioError', EIO],
    ['noSpace', ENOSPC],
  ] as const)('%s is IOERR, used length 1, and one event that says where', (fault, errno) => {
    const rig = new LoopRig({ direct });
    rig.backing.faultOf = faultsWhere(isWrite, failed[fault]);
    const request = rig.offer(blk.write(9, noise(512, 8)));
    rig.settle();
    expect([request.placed.status, request.answers]).toEqual([VIRTIO_BLK_S_IOERR, [1]]);
    expect(rig.ioErrors).toEqual([{ op: OP_WRITE, errno, offsetBytes: 9 * 512 }]);
    expect(rig.counter('errors')).toBe(1);
    expect(rig.counter('writes')).toBe(0);
  });

  test('an error in the middle of a request fails all of it', () => {
    const rig = new LoopRig({ direct });
    let operations = 0;
    rig.backing.faultOf = () => (operations++ === 0 ? { shortBytes: 4096 } : failed.ioError);
    const request = rig.offer(blk.read(0, 64 * KIB));
    rig.settle();
    expect([request.placed.status, request.answers]).toEqual([VIRTIO_BLK_S_IOERR, [1]]);
    expect(rig.ioErrors).toEqual([{ op: OP_READ, errno: EIO, offsetBytes: 4096 }]);
  });

  test.each([0, 512, 1000, 5000])('a file that ends at %i reads as zeroes from there', (end) => {
    const rig = new LoopRig({ direct });
    const data = noise(8 * KIB, 9);
    rig.run(blk.write(0, data));
    rig.backing.truncate(end);
    const read = rig.offer(blk.read(0, data.length, { writableCuts: [512, 4096] }));
    rig.settle();
    expect([read.placed.status, read.answers]).toEqual([VIRTIO_BLK_S_OK, [data.length + 1]]);
    const expected = Buffer.alloc(data.length);
    data.copy(expected, 0, 0, end);
    expect(Buffer.from(read.placed.dataIn)).toEqual(expected);
  });

  test('bug class 20: nothing stale is left where the file has no bytes', () => {
    const rig = new LoopRig({ direct });
    rig.backing.truncate(0);
    // The room for data is poisoned by the driver: every byte must have been written.
    const read = rig.offer(blk.read(8, 4096), { skewBytes: 3 });
    rig.settle();
    expect(read.placed.dataIn.every((byte) => byte === 0)).toBe(true);
  });
});

describe('direct I/O and buffers that it cannot take', () => {
  test.each([
    ['a header in front of the data in one buffer', 0, { readableCuts: [] }],
    ['an odd address', 1, {}],
    ['pieces of no whole sector', 0, { readableCuts: [16, 17, 700], gapBytes: 16 }],
  ] as const)('rule 4: %s is bounced, and still one operation', (_, skewBytes, framing) => {
    const rig = new LoopRig({ direct: true });
    const data = noise(2 * KIB, 10);
    expect(rig.run(blk.write(5, data, framing), { skewBytes })).toBe(VIRTIO_BLK_S_OK);
    expect(Buffer.from(rig.backing.content.subarray(2560, 2560 + data.length))).toEqual(data);
    expect(rig.backing.submitted).toHaveLength(1);
  });

  test('a read comes back through the bounce buffer into every piece', () => {
    const rig = new LoopRig({ direct: true });
    const data = noise(4 * KIB, 11);
    rig.run(blk.write(0, data));
    const framing = { writableCuts: [1, 2, 600, 601, 4000], gapBytes: 7 };
    const read = rig.offer(blk.read(0, data.length, framing), { skewBytes: 5 });
    rig.settle();
    expect(Buffer.from(read.placed.dataIn)).toEqual(data);
    expect(read.answers).toEqual([data.length + 1]);
  });

  test('more than one bounce buffer holds goes through in pieces', () => {
    const rig = new LoopRig({ direct: true });
    const data = noise(2 * BOUNCE_BYTES + 512, 12);
    expect(rig.run(blk.write(0, data), { skewBytes: 9 })).toBe(VIRTIO_BLK_S_OK);
    expect(rig.backing.submitted.map((operation) => operation.lengthBytes)).toEqual([
      BOUNCE_BYTES,
      BOUNCE_BYTES,
      512,
    ]);
    expect(Buffer.from(rig.backing.content.subarray(0, data.length))).toEqual(data);
  });

  test('bug class 6: more requests than bounce buffers wait their turn, and each is answered once', () => {
    const rig = new LoopRig({ direct: true, ringSize: 128 });
    const requests = Array.from({ length: 40 }, (_, i) =>
      rig.offer(blk.write(i * 8, noise(4096, 20 + i)), { skewBytes: 1 }),
    );
    rig.serve();
    expect(rig.backing.pendingCount).toBe(16);
    rig.settle();
    for (const [i, { answers, placed }] of requests.entries()) {
      expect([answers, placed.status]).toEqual([[1], VIRTIO_BLK_S_OK]);
      const at = i * 4096;
      expect(Buffer.from(rig.backing.content.subarray(at, at + 4096))).toEqual(noise(4096, 20 + i));
    }
  });

  test('a bounce buffer comes back from a request that failed', () => {
    const rig = new LoopRig({ direct: true, ringSize: 128 });
    rig.backing.faultOf = faultsWhere(isWrite, failed.ioError, 20);
    for (let i = 0; i < 40; i++) rig.offer(blk.write(i, noise(512, i + 1)), { skewBytes: 1 });
    rig.settle();
    expect([rig.counter('errors'), rig.counter('writes')]).toEqual([20, 20]);
  });

  test('waiting requests of one queue are resumed by another', () => {
    const rig = new LoopRig({ direct: true, ringSize: 64, queueCount: 2 });
    for (let i = 0; i < 20; i++) {
      for (const queue of [0, 1]) {
        rig.offer(blk.write((queue * 20 + i) * 8, noise(4096, i + 1)), { queue, skewBytes: 1 });
      }
    }
    rig.settle();
    expect(rig.counter('writes')).toBe(40);
  });
});

describe('empty requests', () => {
  test.each([blk.read(0, 0), blk.write(0, new Uint8Array(0))])('type %# is OK at once', (text) => {
    const rig = new LoopRig();
    expect(rig.run(text)).toBe(VIRTIO_BLK_S_OK);
    expect(rig.backing.submitted).toEqual([]);
  });
});

test('GET_ID answers the serial and counts its bytes', () => {
  const rig = new LoopRig();
  for (const bytes of [20, 5, 64]) {
    const request = rig.offer(blk.getId(bytes));
    rig.settle();
    expect(request.answers).toEqual([Math.min(bytes, 20) + 1]);
    const text = Buffer.from(request.placed.dataIn.subarray(0, Math.min(bytes, 20))).toString();
    expect(text).toBe('rig-serial'.padEnd(20, '\0').slice(0, bytes));
  }
});

test('counters tell reads, writes, bytes and errors apart', () => {
  const rig = new LoopRig();
  rig.run(blk.write(0, noise(1024, 1)));
  rig.run(blk.read(0, 512));
  rig.run(blk.read(0, 512));
  rig.run(blk.read(2 ** 40, 512));
  rig.run({ type: 99, dataInBytes: 0 });
  const named = ['reads', 'writes', 'bytesRead', 'bytesWritten', 'errors', 'unsupported'];
  expect(named.map((name) => rig.counter(name))).toEqual([2, 1, 1024, 1024, 1, 1]);
  expect(rig.backing.submitted.filter(isRead)).toHaveLength(2);
});
