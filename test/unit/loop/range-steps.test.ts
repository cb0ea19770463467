/**
 * Discards and write-zeroes of the loop device: range after range, each with its fallback where the file
 * system cannot, and zeroes read back whatever the way.
 */
import { describe, expect, test } from 'vitest';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
} from '../../../protocol/linux.ts';
import { VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK } from '../../../protocol/virtio-blk.ts';
import { RANGES_MAX } from '../../../src/blk/disk-shape.ts';
import { ZERO_BYTES } from '../../../src/loop/loop-state.ts';
import { failed, faultsWhere } from '../../support/faulty-backing.ts';
import { LoopRig, type LoopRigOptions, RIG_DISK_BYTES } from '../../support/loop-rig.ts';
import type { Operation } from '../../support/memory-backing-file.ts';
import { blk } from '../../support/mock-driver-blk.ts';

const PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
const ZERO = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
const UNMAP = 1;
const isFallocate = (operation: Operation) => operation.kind === 'fallocate';
const isPunch = (operation: Operation) => isFallocate(operation) && operation.flags === PUNCH;

/** A rig over a file that is full of ones. */
function fullRig(options: LoopRigOptions = {}): LoopRig {
  const rig = new LoopRig(options);
  rig.backing.content.fill(1);
  return rig;
}

/** What was asked of the file: kind or mode, offset, length. */
function asked(rig: LoopRig): Array<[string, number, number]> {
  return rig.backing.submitted.map(({ kind, flags, offsetBytes, lengthBytes }) => {
    const mode = flags === PUNCH ? 'punch' : flags === ZERO ? 'zero' : `mode ${flags}`;
    return [kind === 'fallocate' ? mode : kind, offsetBytes, lengthBytes];
  });
}

function expectZeroes(rig: LoopRig, from: number, to: number): void {
  const { content } = rig.backing;
  expect(content.subarray(from, to).every((byte) => byte === 0)).toBe(true);
  expect(content.subarray(0, from).every((byte) => byte === 1)).toBe(true);
  expect(content.subarray(to).every((byte) => byte === 1)).toBe(true);
}

test('a discard punches a hole and keeps the size', () => {
  const rig = fullRig();
  expect(rig.run(blk.discard({ sector: 8, sectors: 16 }))).toBe(VIRTIO_BLK_S_OK);
  expect(asked(rig)).toEqual([['punch', 4096, 8192]]);
  expectZeroes(rig, 4096, 12_288);
});

test('the offset of the disk in its file counts', () => {
  const rig = fullRig({ fileOffsetBytes: 65_536 });
  rig.run(blk.discard({ sector: 1, sectors: 1 }));
  expect(asked(rig)).toEqual([['punch', 66_048, 512]]);
});

test('write-zeroes zeroes the range; with leave to unmap it punches a hole', () => {
  const rig = fullRig();
  rig.run(blk.writeZeroes({ sector: 0, sectors: 4 }));
  rig.run(blk.writeZeroes({ sector: 4, sectors: 4, flags: UNMAP }));
  expect(asked(rig)).toEqual([
    ['zero', 0, 2048],
    ['punch', 2048, 2048],
  ]);
  expectZeroes(rig, 0, 4096);
});

test('rule 9: several ranges are done one after the other, empty ones are nothing to do', () => {
  const rig = fullRig();
  const ranges = Array.from({ length: RANGES_MAX }, (_, i) => ({
    sector: i * 10,
    sectors: i % 4 === 3 ? 0 : 2,
  }));
  const request = rig.offer(blk.discard(...ranges));
  rig.settle();
  expect(request.answers).toEqual([1]);
  expect(asked(rig)).toEqual(
    ranges
      .filter(({ sectors }) => sectors > 0)
      .map(({ sector, sectors }) => ['punch', sector * 512, sectors * 512]),
  );
});

describe('where no hole can be punched', () => {
  test('a discard is nothing to do, and that is found out once', () => {
    const rig = fullRig();
    rig.backing.faultOf = faultsWhere(isPunch, failed.unsupported);
    expect(rig.run(blk.discard({ sector: 0, sectors: 8 }, { sector: 80, sectors: 8 }))).toBe(0);
    expect(rig.run(blk.discard({ sector: 0, sectors: 8 }))).toBe(VIRTIO_BLK_S_OK);
    expect(asked(rig)).toEqual([['punch', 0, 4096]]);
    expect(rig.ioErrors).toEqual([]);
  });

  test('write-zeroes with leave to unmap zeroes the range instead', () => {
    const rig = fullRig();
    rig.backing.faultOf = faultsWhere(isPunch, failed.unsupported);
    rig.run(blk.writeZeroes({ sector: 0, sectors: 8, flags: UNMAP }));
    expect(asked(rig)).toEqual([
      ['punch', 0, 4096],
      ['zero', 0, 4096],
    ]);
    expectZeroes(rig, 0, 4096);
  });

  test('another worker of the same disk knows it, too', () => {
    const first = fullRig();
    first.backing.faultOf = faultsWhere(isPunch, failed.unsupported);
    first.run(blk.discard({ sector: 0, sectors: 8 }));
    const second = fullRig({ shared: first.state.shared });
    second.run(blk.discard({ sector: 0, sectors: 8 }));
    expect(asked(second)).toEqual([]);
  });
});

describe.each([false, true])('where no range can be zeroed, direct I/O %s', (direct) => {
  test('zeroes are written, in pieces, and that is found out once', () => {
    const rig = fullRig({ direct });
    rig.backing.faultOf = faultsWhere(isFallocate, failed.unsupported);
    const bytes = 2 * ZERO_BYTES + 1024;
    expect(rig.run(blk.writeZeroes({ sector: 1, sectors: bytes / 512 }))).toBe(VIRTIO_BLK_S_OK);
    expect(asked(rig)).toEqual([
      ['zero', 512, bytes],
      ['write', 512, ZERO_BYTES],
      ['write', 512 + ZERO_BYTES, ZERO_BYTES],
      ['write', 512 + 2 * ZERO_BYTES, 1024],
    ]);
    expectZeroes(rig, 512, 512 + bytes);
    rig.run(blk.writeZeroes({ sector: 0, sectors: 1 }));
    expect(asked(rig).at(-1)).toEqual(['write', 0, 512]);
  });

  test('with leave to unmap: neither hole nor range, so zeroes are written', () => {
    const rig = fullRig({ direct });
    rig.backing.faultOf = faultsWhere(isFallocate, failed.unsupported);
    rig.run(blk.writeZeroes({ sector: 0, sectors: 2, flags: UNMAP }));
    expect(asked(rig).map(([kind]) => kind)).toEqual(['punch', 'zero', 'write']);
    expectZeroes(rig, 0, 1024);
  });

  test('short writes of zeroes go on, over several ranges', () => {
    const rig = fullRig({ direct });
    rig.backing.faultOf = (operation) =>
      isFallocate(operation) ? failed.unsupported : { shortBytes: 512 };
    rig.run(blk.writeZeroes({ sector: 0, sectors: 3 }, { sector: 3, sectors: 2 }));
    expectZeroes(rig, 0, 2560);
  });

  test('zeroes that cannot be written are an error, and the rest is not done', () => {
    const rig = fullRig({ direct });
    rig.backing.faultOf = (operation) =>
      isFallocate(operation) ? failed.unsupported : failed.noSpace;
    const ranges = [
      { sector: 0, sectors: 2 },
      { sector: 8, sectors: 2 },
    ];
    expect(rig.run(blk.writeZeroes(...ranges))).toBe(VIRTIO_BLK_S_IOERR);
    expect(asked(rig).map(([kind]) => kind)).toEqual(['zero', 'write']);
    expect(rig.ioErrors).toHaveLength(1);
  });
});

describe('where the file system finds a range misaligned', () => {
  test('a discard of it is nothing to do, and the next is tried', () => {
    const rig = fullRig();
    rig.backing.faultOf = faultsWhere(isFallocate, failed.invalid, 1);
    expect(rig.run(blk.discard({ sector: 1, sectors: 1 }, { sector: 8, sectors: 8 }))).toBe(0);
    expect(asked(rig)).toHaveLength(2);
  });

  test('zeroes are written for that range only', () => {
    const rig = fullRig();
    rig.backing.faultOf = faultsWhere(isFallocate, failed.invalid, 1);
    rig.run(blk.writeZeroes({ sector: 0, sectors: 1 }, { sector: 1, sectors: 7 }));
    expect(asked(rig).map(([kind]) => kind)).toEqual(['zero', 'write', 'zero']);
    expectZeroes(rig, 0, 4096);
  });
});

test.each(['ioError', 'noSpace'] as const)('a fallocate that fails with %s is IOERR', (fault) => {
  const rig = fullRig();
  rig.backing.faultOf = faultsWhere(isFallocate, failed[fault]);
  expect(rig.run(blk.discard({ sector: 0, sectors: 8 }))).toBe(VIRTIO_BLK_S_IOERR);
  expect(rig.run(blk.writeZeroes({ sector: 0, sectors: 8 }))).toBe(VIRTIO_BLK_S_IOERR);
});

test.each(['again', 'interrupted'] as const)('a fallocate that says %s is tried again', (fault) => {
  const rig = fullRig();
  rig.backing.faultOf = faultsWhere(isFallocate, failed[fault], 5);
  expect(rig.run(blk.writeZeroes({ sector: 0, sectors: RIG_DISK_BYTES / 512 }))).toBe(0);
  expectZeroes(rig, 0, RIG_DISK_BYTES);
});
