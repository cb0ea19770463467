/**
 * One vring of the loop device: when it takes requests, when it calls the driver, how it breaks.
 */
import { describe, expect, test } from 'vitest';
import { VIRTIO_BLK_S_IOERR } from '../../../protocol/virtio-blk.ts';
import { SERVE_BATCH_MAX, SERVE_BYTES_MAX } from '../../../src/loop/serve-batch.ts';
import { AVAIL_IDX_JUMP, REQUEST_NO_STATUS_BYTE } from '../../../src/virtqueue/ring-violation.ts';
import { LoopRig, RIG_DATA_AT } from '../../support/loop-rig.ts';
import { blk } from '../../support/mock-driver-blk.ts';

const read = blk.read(0, 512);

describe('a vring that is disabled or stopping', () => {
  test.each(['disabled', 'stopping'] as const)('%s: takes nothing, finishes what it has', (how) => {
    const rig = new LoopRig();
    const queue = rig.device.queue(0)!;
    const before = rig.offer(read);
    rig.serve();
    if (how === 'disabled') queue.enabled = false;
    else queue.stopping = true;
    const after = rig.offer(read);
    rig.settle();
    expect([before.answers.length, after.answers.length]).toEqual([1, 0]);
    expect([queue.hasWork(), queue.armKicks(), queue.vring.inFlightCount]).toEqual([
      false,
      false,
      0,
    ]);
    queue.enabled = true;
    queue.stopping = false;
    expect(queue.hasWork()).toBe(true);
    rig.settle();
    expect(after.answers).toHaveLength(1);
  });
});

describe('calls', () => {
  test('one for all that is published together', () => {
    const rig = new LoopRig();
    for (let i = 0; i < 5; i++) rig.offer(read);
    rig.serve();
    rig.backing.reap(rig.device);
    rig.device.publish();
    expect(rig.calls).toEqual([0]);
    expect(rig.counter('calls')).toBe(1);
    rig.device.publish();
    expect(rig.calls).toEqual([0]);
  });

  test('none while the driver wants none', () => {
    const rig = new LoopRig();
    rig.drivers[0]!.suppressCalls();
    rig.run(read);
    expect(rig.calls).toEqual([]);
  });

  test('none without a call eventfd', () => {
    const rig = new LoopRig();
    rig.device.queue(0)!.callFd = -1;
    rig.run(read);
    expect([rig.calls, rig.counter('calls')]).toEqual([[], 0]);
  });
});

test('a flooded vring does not starve another', () => {
  const rig = new LoopRig({ queueCount: 2, ringSize: 1024 });
  for (let i = 0; i < 256; i++) rig.offer(read);
  const other = rig.offer(read, { queue: 1 });
  expect(rig.device.serve()).toBe(true);
  expect(rig.device.queue(0)!.vring.inFlightCount).toBe(SERVE_BATCH_MAX);
  expect(rig.device.queue(1)!.vring.inFlightCount).toBe(1);
  rig.settle();
  expect(other.answers).toHaveLength(1);
});

test('a vring flooded with large requests is served a megabyte a turn', () => {
  const rig = new LoopRig({ queueCount: 2, ringSize: 1024 });
  const large = blk.read(0, SERVE_BYTES_MAX / 4);
  for (let i = 0; i < 16; i++) rig.offer(large);
  const other = rig.offer(read, { queue: 1 });
  expect(rig.device.serve()).toBe(true);
  expect(rig.device.queue(0)!.vring.inFlightCount).toBe(4);
  rig.settle();
  expect([other.answers.length, rig.counter('reads')]).toEqual([1, 17]);
});

test('a driver that replaces answered requests a turn later gets batches as large', () => {
  const rig = new LoopRig({ ringSize: 512 });
  const { vring } = rig.device.queue(0)!;
  for (let i = 0; i < 32; i++) rig.offer(read);
  const batches: number[] = [];
  for (let turn = 0, answered = 0; turn < 40; turn++) {
    rig.device.serve();
    for (let i = 0; i < answered; i++) rig.offer(read);
    answered = vring.inFlightCount;
    batches.push(answered);
    rig.backing.reap(rig.device);
    rig.device.publish();
    rig.drivers[0]!.collect();
  }
  expect(Math.min(...batches)).toBeGreaterThanOrEqual(11);
});

describe('a vring that the driver breaks', () => {
  test('takes nothing more, and what it had is answered', () => {
    const rig = new LoopRig();
    const before = rig.offer(read);
    rig.serve();
    rig.splitDriver().rawAvailIdx(1000);
    rig.settle();
    expect(rig.violations).toEqual([{ vring: 0, violation: AVAIL_IDX_JUMP }]);
    expect(before.answers).toHaveLength(1);
    rig.settle();
    expect(rig.violations).toHaveLength(1);
    expect(rig.counter('guestViolations')).toBe(1);
  });

  test('bug class 21: by a request without a status byte is drained and can be stopped', () => {
    const rig = new LoopRig();
    rig.drivers[0]!.addChain([{ address: RIG_DATA_AT, lengthBytes: 16 }]);
    rig.drivers[0]!.publish();
    rig.settle();
    expect(rig.violations).toEqual([{ vring: 0, violation: REQUEST_NO_STATUS_BYTE }]);
    const { vring } = rig.device.queue(0)!;
    expect([vring.inFlightCount, vring.base, rig.drivers[0]!.usedIdx]).toEqual([0, 0, 0]);
  });

  test('leaves the others as they are', () => {
    const rig = new LoopRig({ queueCount: 2 });
    rig.splitDriver().rawAvailIdx(1000);
    const other = rig.offer(read, { queue: 1 });
    rig.settle();
    expect(other.answers).toHaveLength(1);
  });
});

test('a request that fails its checks is answered without an operation', () => {
  const rig = new LoopRig();
  expect(rig.run(blk.read(2 ** 52, 512))).toBe(VIRTIO_BLK_S_IOERR);
  expect(rig.backing.submitted).toEqual([]);
});

test('a detached vring is gone from the device', () => {
  const rig = new LoopRig({ queueCount: 2 });
  rig.device.detach(0);
  expect(rig.device.queue(0)).toBeNull();
  expect(rig.device.running.map(({ index }) => index)).toEqual([1]);
  rig.offer(read);
  expect(rig.device.hasWork()).toBe(false);
});
