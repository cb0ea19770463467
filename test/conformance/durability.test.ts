/**
 * The durability contract, a test for each line of it. The backing file keeps what is durable apart from
 * what is only written: a completed write becomes durable by a data sync that was submitted after it
 * completed, or by its own completion when it asked for that, and by nothing else.
 * Source: virtio 1.3 §5.2.5.2, §5.2.6.2.
 */
import { describe, expect, test } from 'vitest';
import { bitsToWord } from '../../protocol/layout.ts';
import { EINTR, EIO } from '../../protocol/linux.ts';
import {
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_T_FLUSH,
  virtioBlkConfig,
} from '../../protocol/virtio-blk.ts';
import { OP_FLUSH } from '../../src/blk/blk-request.ts';
import { encodeConfigSpace } from '../../src/blk/config-space.ts';
import { isWriteThrough, offeredFeatures } from '../../src/blk/features.ts';
import { IO_FLAG_DSYNC } from '../../src/loop/backing-port.ts';
import { failed, faultsWhere } from '../support/faulty-backing.ts';
import { noise } from '../support/image-content.ts';
import { LoopRig, type LoopRigOptions } from '../support/loop-rig.ts';
import type { Operation } from '../support/memory-backing-file.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { RECORDED_SHAPE } from '../support/recording-session-port.ts';

const FLUSH = { type: VIRTIO_BLK_T_FLUSH };
const isSync = (operation: Operation) => operation.kind === 'fdatasync';
const isWrite = (operation: Operation) => operation.kind === 'write';

function isDurable(rig: LoopRig, sector: number, data: Uint8Array): boolean {
  const at = sector * 512;
  return Buffer.compare(rig.backing.durable.subarray(at, at + data.length), data) === 0;
}

describe('FLUSH means: every write completed before it is durable', () => {
  test('before the flush a completed write is volatile, after it it is not', () => {
    const rig = new LoopRig();
    const data = noise(4096, 1);
    rig.run(blk.write(0, data));
    expect(isDurable(rig, 0, data)).toBe(false);
    expect(rig.run(FLUSH)).toBe(VIRTIO_BLK_S_OK);
    expect(isDurable(rig, 0, data)).toBe(true);
  });

  test('on every queue, whichever asks', () => {
    const rig = new LoopRig({ queueCount: 4 });
    for (let queue = 0; queue < 4; queue++) {
      rig.run(blk.write(queue * 8, noise(4096, queue + 1)), { queue });
    }
    rig.run(FLUSH, { queue: 2 });
    for (let queue = 0; queue < 4; queue++) {
      expect(isDurable(rig, queue * 8, noise(4096, queue + 1)), `queue ${queue}`).toBe(true);
    }
  });

  test('it is answered after the data sync has succeeded, not before', () => {
    const rig = new LoopRig();
    rig.backing.holds = isSync;
    const flush = rig.offer(FLUSH);
    rig.settle();
    expect(flush.answers).toEqual([]);
    rig.backing.holds = () => false;
    rig.settle();
    expect([flush.answers, flush.placed.status]).toEqual([[1], VIRTIO_BLK_S_OK]);
  });

  test('two flushes are two data syncs: none rides on one that was submitted before its writes', () => {
    const rig = new LoopRig({ queueCount: 2 });
    rig.backing.holds = isSync;
    rig.offer(FLUSH);
    rig.settle();
    const late = noise(512, 9);
    rig.run(blk.write(100, late), { queue: 1 });
    const second = rig.offer(FLUSH, { queue: 1 });
    rig.settle();
    rig.backing.holds = () => false;
    rig.settle();
    expect(second.placed.status).toBe(VIRTIO_BLK_S_OK);
    expect(rig.backing.submitted.filter(isSync)).toHaveLength(2);
    expect(isDurable(rig, 100, late)).toBe(true);
  });

  test('discards and written zeroes are made durable, too', () => {
    const rig = new LoopRig();
    rig.run(blk.write(0, noise(8192, 1)));
    rig.run(FLUSH);
    rig.run(blk.discard({ sector: 0, sectors: 8 }));
    rig.run(blk.writeZeroes({ sector: 8, sectors: 8 }));
    expect(isDurable(rig, 0, new Uint8Array(8192))).toBe(false);
    rig.run(FLUSH);
    expect(isDurable(rig, 0, new Uint8Array(8192))).toBe(true);
  });

  test('direct I/O is no promise: its flushes sync like any other', () => {
    const rig = new LoopRig({ direct: true });
    const data = noise(4096, 3);
    rig.run(blk.write(0, data));
    expect(isDurable(rig, 0, data)).toBe(false);
    rig.run(FLUSH);
    expect(isDurable(rig, 0, data)).toBe(true);
  });
});

describe('which drivers get write-through', () => {
  const acked = (...bits: number[]) => bitsToWord(...bits);

  test('one that acked neither FLUSH nor CONFIG_WCE, whatever writeback says', () => {
    expect(isWriteThrough(acked(), true)).toBe(true);
    expect(isWriteThrough(acked(), false)).toBe(true);
  });

  test('one that acked FLUSH only has a write-back cache', () => {
    expect(isWriteThrough(acked(VIRTIO_BLK_F_FLUSH), true)).toBe(false);
  });

  test('one that acked both has what writeback says', () => {
    const both = acked(VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_CONFIG_WCE);
    expect(isWriteThrough(both, true)).toBe(false);
    expect(isWriteThrough(both, false)).toBe(true);
  });

  test('one that acked CONFIG_WCE without FLUSH cannot flush: writeback counts as 0', () => {
    expect(isWriteThrough(acked(VIRTIO_BLK_F_CONFIG_WCE), true)).toBe(true);
  });

  test('FLUSH is offered wherever CONFIG_WCE is', () => {
    for (const readOnly of [false, true]) {
      const offered = offeredFeatures({ ...RECORDED_SHAPE, readOnly });
      const both = acked(VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_CONFIG_WCE);
      expect(offered & both).toBe(both);
    }
  });

  test('writeback = 1 is what the config space says at the start', () => {
    const config = encodeConfigSpace(RECORDED_SHAPE, true);
    expect(config[virtioBlkConfig.at.wce]).toBe(1);
  });
});

describe.each<[string, LoopRigOptions & { skewBytes?: number }]>([
  ['buffered', {}],
  ['direct', { direct: true }],
  ['direct, bounced', { direct: true, skewBytes: 1 }],
])('write-through, %s: each write is durable before it completes', (_, { skewBytes, ...mode }) => {
  test('a write alone', () => {
    const rig = new LoopRig({ ...mode, writeThrough: true });
    const data = noise(4096, 1);
    expect(rig.run(blk.write(0, data), { skewBytes: skewBytes ?? 0 })).toBe(VIRTIO_BLK_S_OK);
    expect(isDurable(rig, 0, data)).toBe(true);
    expect(rig.backing.submitted.every(({ flags }) => flags === IO_FLAG_DSYNC)).toBe(true);
  });

  test('a write that the file takes in parts: every part', () => {
    const rig = new LoopRig({ ...mode, writeThrough: true });
    rig.backing.faultOf = () => ({ shortBytes: 1024 });
    const data = noise(8192, 2);
    rig.run(blk.write(0, data), { skewBytes: skewBytes ?? 0 });
    expect(rig.backing.submitted).toHaveLength(8);
    expect(isDurable(rig, 0, data)).toBe(true);
  });

  test('a discard and a write-zeroes: by a data sync before they complete', () => {
    const rig = new LoopRig({ ...mode, writeThrough: true });
    rig.run(blk.write(0, noise(8192, 3)));
    rig.backing.holds = isSync;
    const discard = rig.offer(blk.discard({ sector: 0, sectors: 8 }));
    const zeroes = rig.offer(blk.writeZeroes({ sector: 8, sectors: 8 }));
    rig.settle();
    expect([discard.answers, zeroes.answers]).toEqual([[], []]);
    rig.backing.holds = () => false;
    rig.settle();
    expect([discard.placed.status, zeroes.placed.status]).toEqual([0, 0]);
    expect(isDurable(rig, 0, new Uint8Array(8192))).toBe(true);
  });

  test('a write-zeroes that has to write them: durable as well', () => {
    const rig = new LoopRig({ ...mode, writeThrough: true });
    rig.run(blk.write(0, noise(8192, 4)));
    rig.backing.faultOf = faultsWhere(({ kind }) => kind === 'fallocate', failed.unsupported);
    rig.run(blk.writeZeroes({ sector: 0, sectors: 16 }));
    expect(isDurable(rig, 0, new Uint8Array(8192))).toBe(true);
  });

  test('a discard whose data sync fails is an error', () => {
    const rig = new LoopRig({ ...mode, writeThrough: true });
    rig.backing.faultOf = faultsWhere(isSync, failed.ioError);
    expect(rig.run(blk.discard({ sector: 0, sectors: 8 }))).toBe(VIRTIO_BLK_S_IOERR);
  });
});

describe('the mode may change while the disk runs', () => {
  test('a write that starts after writeback became 0 is durable when it completes', () => {
    const rig = new LoopRig();
    rig.run(blk.write(0, noise(512, 1)));
    rig.state.writeThrough = true;
    rig.run(blk.write(1, noise(512, 2)));
    rig.state.writeThrough = false;
    rig.run(blk.write(2, noise(512, 3)));
    expect([1, 2, 3].map((n) => isDurable(rig, n - 1, noise(512, n)))).toEqual([
      false,
      true,
      false,
    ]);
  });
});

describe('a data sync that fails', () => {
  test.each([
    ['ioError', EIO],
    ['interrupted', EINTR],
  ] as const)('with %s fails its flush, once: it is never tried again', (fault, errno) => {
    const rig = new LoopRig();
    rig.backing.faultOf = faultsWhere(isSync, failed[fault], 1);
    expect(rig.run(FLUSH)).toBe(VIRTIO_BLK_S_IOERR);
    expect(rig.backing.submitted.filter(isSync)).toHaveLength(1);
    expect(rig.ioErrors).toEqual([{ op: OP_FLUSH, errno, offsetBytes: 0 }]);
  });

  test('on a buffered file is sticky: every later flush fails, on every queue and worker', () => {
    const rig = new LoopRig({ queueCount: 2 });
    rig.backing.faultOf = faultsWhere(isSync, failed.ioError, 1);
    rig.run(FLUSH);
    for (const queue of [0, 1, 0]) expect(rig.run(FLUSH, { queue })).toBe(VIRTIO_BLK_S_IOERR);
    const otherWorker = new LoopRig({ shared: rig.state.shared });
    expect(otherWorker.run(FLUSH)).toBe(VIRTIO_BLK_S_IOERR);
    expect(otherWorker.backing.submitted).toEqual([]);
  });

  test('on a buffered file: reads and writes go on', () => {
    const rig = new LoopRig();
    rig.backing.faultOf = faultsWhere(isSync, failed.ioError, 1);
    rig.run(FLUSH);
    expect(rig.run(blk.write(0, noise(512, 1)))).toBe(VIRTIO_BLK_S_OK);
    expect(rig.run(blk.read(0, 512))).toBe(VIRTIO_BLK_S_OK);
  });

  test('under direct I/O is not sticky: there are no pages to have lost', () => {
    const rig = new LoopRig({ direct: true });
    rig.backing.faultOf = faultsWhere(isSync, failed.ioError, 1);
    expect([rig.run(FLUSH), rig.run(FLUSH)]).toEqual([VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK]);
  });

  test('fails the flush that was under way beside it: the kernel reports a lost page once', () => {
    const rig = new LoopRig({ queueCount: 2 });
    rig.backing.faultOf = faultsWhere(isSync, failed.ioError, 1);
    const flushes = [0, 1].map((queue) => rig.offer(FLUSH, { queue }));
    rig.settle();
    expect(rig.backing.submitted.filter(isSync)).toHaveLength(2);
    expect(flushes.map(({ placed }) => placed.status)).toEqual([
      VIRTIO_BLK_S_IOERR,
      VIRTIO_BLK_S_IOERR,
    ]);
  });

  test('in write-through mode fails later discards, which need one, too', () => {
    const rig = new LoopRig({ writeThrough: true });
    rig.backing.faultOf = faultsWhere(isSync, failed.ioError, 1);
    const discard = blk.discard({ sector: 0, sectors: 8 });
    expect([rig.run(discard), rig.run(discard)]).toEqual([VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR]);
  });

  test('a durable write that fails on a buffered file may have taken the report of others with it', () => {
    const rig = new LoopRig();
    rig.run(blk.write(0, noise(512, 1)));
    rig.state.writeThrough = true;
    rig.backing.faultOf = faultsWhere(isWrite, failed.ioError, 1);
    expect(rig.run(blk.write(1, noise(512, 2)))).toBe(VIRTIO_BLK_S_IOERR);
    expect(rig.run(FLUSH), 'the first write may be lost').toBe(VIRTIO_BLK_S_IOERR);
  });

  test('a full disk is no lost page: a durable write without space leaves flushes alone', () => {
    const rig = new LoopRig({ writeThrough: true });
    rig.backing.faultOf = faultsWhere(isWrite, failed.noSpace, 1);
    expect(rig.run(blk.write(1, noise(512, 2)))).toBe(VIRTIO_BLK_S_IOERR);
    expect(rig.run(FLUSH)).toBe(VIRTIO_BLK_S_OK);
  });
});
