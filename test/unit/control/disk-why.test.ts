/**
 * What `why` makes of a loop device that stands still: every wait reason, on a device in plain memory whose
 * backing file never answers by itself, so that nothing moves while a test looks.
 */
import { describe, expect, test } from 'vitest';
import { VIRTIO_BLK_T_FLUSH } from '../../../protocol/virtio-blk.ts';
import { diskWhyOf } from '../../../src/control/disk-why.ts';
import type { WhyThread } from '../../../src/control/schema/disk-why.ts';
import { TAG_SLOT_BITS } from '../../../src/loop/loop-commands.ts';
import type { LoopQueue } from '../../../src/loop/loop-queue.ts';
import type { StartedVring } from '../../../src/worker/started-vring.ts';
import { inspectVrings } from '../../../src/worker/vring-inspection.ts';
import { LoopRig, type LoopRigOptions } from '../../support/loop-rig.ts';
import { blk } from '../../support/mock-driver-blk.ts';

const flush = { type: VIRTIO_BLK_T_FLUSH };

interface Circumstances {
  readonly paused?: boolean;
  readonly unbegun?: readonly number[];
  readonly silent?: boolean;
  readonly thread?: WhyThread;
}

function started(rig: LoopRig, index: number): StartedVring {
  const queue = rig.device.queue(index)!;
  const start = {
    index,
    size: 16,
    enabled: queue.enabled,
    kickFd: 7,
    callFd: -1,
    translated: false,
  };
  return { start, queue, broken: 0, unmapped: false } as unknown as StartedVring;
}

function why(rig: LoopRig, circumstances: Circumstances = {}) {
  const { paused = false, unbegun = [], silent = false, thread = null } = circumstances;
  const backing = { submit() {}, reap: () => 0, unbegun: () => [...unbegun] };
  const indices = rig.drivers.map((_, index) => index);
  const vrings = indices.map((index) => started(rig, index));
  return diskWhyOf({
    name: 'rig',
    nowMs: rig.nowMs,
    commands: new Map(
      indices.map((index) => [index, rig.device.queue(index)!.commands.inFlight()]),
    ),
    answers: [silent ? null : inspectVrings(vrings, paused, backing)],
    workerThreads: [thread],
    stuckThreads: [],
    pendingOf: () => 3,
  });
}

function standing(options: LoopRigOptions = {}): LoopRig {
  return new LoopRig(options);
}

describe('a request in flight waits for', () => {
  test.each([
    ['file', blk.read(8, 4096), {}],
    ['flush', flush, {}],
    ['range', blk.discard({ sector: 8, sectors: 8 }), {}],
  ] as const)('%s', (reason, request, options) => {
    const rig = standing(options);
    const { head } = rig.offer(request);
    rig.serve();
    rig.nowMs += 2500;
    const found = why(rig);
    expect(found.requests).toMatchObject([{ queue: 0, head, waits_for: reason, since_ms: 2500 }]);
    expect(found.summary[0]).toContain(`head ${head}`);
    expect(found.summary[0]).toContain('since 2.500 s');
    expect(found.summary[1]).toBe('1 of them take longer than 1 s');
    rig.settle();
    expect(why(rig)).toMatchObject({ requests: [], summary: ['nothing is in flight'] });
  });

  test('a bounce buffer, once all are in use', () => {
    const rig = standing({ direct: true, ringSize: 64 });
    for (let i = 0; i < 18; i++) rig.offer(blk.read(8, 512), { skewBytes: 3 });
    // The device takes a third at a time.
    for (let i = 0; i < 8; i++) rig.serve();
    const reasons = why(rig).requests.map(({ waits_for }) => waits_for);
    expect(reasons.filter((reason) => reason === 'bounce_buffer')).toHaveLength(2);
    expect(reasons.filter((reason) => reason === 'file')).toHaveLength(16);
  });

  test('the engine, which has enough to do', () => {
    const rig = standing({ queueCount: 2 });
    const { head } = rig.offer(blk.read(8, 512), { queue: 1 });
    rig.serve();
    const unbegun = [(1 << TAG_SLOT_BITS) + head];
    expect(why(rig, { unbegun }).requests).toMatchObject([{ queue: 1, waits_for: 'engine' }]);
    expect(why(rig).requests).toMatchObject([{ queue: 1, waits_for: 'file' }]);
  });
});

describe('a ring is not served', () => {
  test.each<[string, (queue: LoopQueue) => void, Circumstances, RegExp]>([
    [
      'is disabled',
      (queue) => {
        queue.enabled = false;
      },
      {},
      /disabled the ring/,
    ],
    [
      'is to stop',
      (queue) => {
        queue.stopping = true;
      },
      {},
      /is to stop/,
    ],
    [
      'lacks pages',
      (queue) => {
        queue.waiting = true;
      },
      {},
      /translations/,
    ],
    ['is quiesced', () => {}, { paused: true }, /quiesced/],
    ['is broken', (queue) => queue.vring.break(-5), {}, /CHAIN_TOO_LONG/],
  ])('because it %s', (_, change, circumstances, words) => {
    const rig = standing();
    change(rig.device.queue(0)!);
    rig.offer(blk.read(8, 512));
    const found = why(rig, circumstances);
    expect(found.queues[0]!.text).toMatch(words);
    expect(found.summary.at(-1)).toMatch(/^queue 0 is not served: /);
    expect(found.queues[0]).toMatchObject({
      kick: { fd: 7, pending: 3 },
      call: { fd: -1, pending: 0 },
    });
  });

  test('and says nothing of one that is', () => {
    expect(why(standing()).queues[0]!.text).toBe(null);
  });
});

test('a worker that does not answer is named with the system call that it is in', () => {
  const rig = standing();
  rig.offer(blk.write(8, new Uint8Array(512)));
  rig.serve();
  const thread = {
    thread: 42,
    name: 'node',
    state: 'D',
    waits_in: 'folio_wait_bit',
    system_call: 'pwrite64',
  };
  const found = why(rig, { silent: true, thread });
  expect(found.requests).toMatchObject([{ op: 'write', sector: 8, bytes: 512, bytes_left: 512 }]);
  expect(found.workers).toEqual([{ worker: 0, answers: false, thread }]);
  expect(found.summary.at(-1)).toBe('worker 0 does not answer: it is in pwrite64 (state D)');
});

test('indices of a split ring without EVENT_IDX and of one in order', () => {
  const rig = standing({ inOrder: true });
  const first = rig.offer(blk.read(8, 512));
  const second = rig.offer(blk.read(16, 512));
  rig.serve();
  // The second ends, and has to wait for the first.
  rig.device.onResult(second.head, 512);
  rig.device.publish();
  const [queue] = why(rig).queues;
  expect(queue!.ring).toMatchObject({ layout: 'split', in_order: true, held_answers: 1 });
  expect(queue!.ring).toMatchObject({ avail_idx: 2, used_idx: 0, driver_wants_call: 'always' });
  expect(first.answers).toEqual([]);
});
