/**
 * What a vring tells of its requests: in flight, busy time and latencies by a clock that the test moves,
 * failures and violations by kind, what is in flight as the command board shows it.
 */
import { describe, expect, test } from 'vitest';
import { EIO } from '../../../protocol/linux.ts';
import { VIRTIO_BLK_S_OK, VIRTIO_BLK_T_FLUSH } from '../../../protocol/virtio-blk.ts';
import {
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../../../src/blk/blk-request.ts';
import { STAGE_BOUNCE, STAGE_FLUSH } from '../../../src/loop/command-board.ts';
import { busyMs, inFlightRequests } from '../../../src/loop/counters.ts';
import { DiskFigures, failureCounts, violationCounts } from '../../../src/loop/disk-figures.ts';
import { Latencies } from '../../../src/loop/latencies.ts';
import {
  REQUEST_TRACE_BYTES,
  RequestTrace,
  TRACE_RECORDS,
} from '../../../src/loop/request-trace.ts';
import { HEAD_OUT_OF_RANGE, RING_UNMAPPED } from '../../../src/virtqueue/ring-violation.ts';
import { LoopRig } from '../../support/loop-rig.ts';
import { blk } from '../../support/mock-driver-blk.ts';

const read = blk.read(8, 4096);
const flush = { type: VIRTIO_BLK_T_FLUSH };

function latenciesOf(rig: LoopRig, op: number): Latencies {
  return new Latencies().add(rig.latencies, op);
}

test('a request takes the time from its batch to its answer', () => {
  const rig = new LoopRig();
  rig.offer(read);
  rig.serve();
  rig.nowMs += 5;
  rig.offer(blk.write(0, new Uint8Array(512)));
  rig.serve();
  rig.nowMs += 3;
  rig.settle();
  expect(latenciesOf(rig, OP_READ).percentileNs(0.5) / 8e6).toBeCloseTo(1, 1);
  expect(latenciesOf(rig, OP_WRITE).percentileNs(0.5) / 3e6).toBeCloseTo(1, 1);
  expect(latenciesOf(rig, OP_READ).sumNs).toBeCloseTo(8e6, 0);
  expect(latenciesOf(rig, OP_FLUSH).count).toBe(0);
});

test('every operation is counted once, failed ones too, with its bytes', () => {
  const rig = new LoopRig();
  rig.run(read);
  rig.run(flush);
  rig.run(blk.discard({ sector: 0, sectors: 8 }, { sector: 100, sectors: 2 }));
  rig.run(blk.writeZeroes({ sector: 16, sectors: 4 }));
  rig.run(blk.getId());
  // Past the end of the disk.
  expect(rig.run(blk.read(2 ** 30, 512))).not.toBe(VIRTIO_BLK_S_OK);
  const counts = [OP_READ, OP_WRITE, OP_FLUSH, OP_DISCARD, OP_WRITE_ZEROES];
  expect(counts.map((op) => latenciesOf(rig, op).count)).toEqual([1, 0, 1, 1, 1]);
  const names = ['bytesRead', 'bytesWritten', 'bytesDiscarded', 'bytesZeroed', 'errors', 'refused'];
  expect(names.map((name) => rig.counter(name))).toEqual([4096, 0, 5120, 2048, 1, 1]);
});

test('in flight and busy: from the first that is taken to the last that is answered', () => {
  const rig = new LoopRig();
  const look = () => [inFlightRequests(rig.counters), busyMs(rig.counters, rig.nowMs)];
  expect(look()).toEqual([0, 0]);
  rig.offer(read);
  rig.offer(read);
  rig.serve();
  rig.nowMs += 10;
  expect(look()).toEqual([2, 10]);
  rig.turn();
  rig.nowMs += 10;
  expect(look()).toEqual([1, 20]);
  rig.settle();
  rig.nowMs += 1000;
  expect(look()).toEqual([0, 20]);
  rig.offer(read);
  rig.serve();
  rig.nowMs += 1;
  rig.settle();
  expect(look()).toEqual([0, 21]);
});

test('the command board shows what is in flight, the oldest first, and nothing afterwards', () => {
  const rig = new LoopRig({ direct: true });
  const board = rig.device.queue(0)!.commands;
  const older = rig.offer(flush);
  rig.serve();
  rig.nowMs += 7;
  // A buffer that direct I/O cannot take.
  const newer = rig.offer(blk.write(64, new Uint8Array(512)), { skewBytes: 3 });
  rig.serve();
  const shown = board.inFlight();
  expect(shown).toMatchObject([
    { head: older.head, op: OP_FLUSH, stage: STAGE_FLUSH, firstBytes: 0, lengthBytes: 0 },
    { head: newer.head, op: OP_WRITE, stage: STAGE_BOUNCE, firstBytes: 64 * 512, hasBounce: true },
  ]);
  expect(shown[1]!.startMs - shown[0]!.startMs).toBe(7);
  rig.settle();
  expect(board.inFlight()).toEqual([]);
});

describe('failures', () => {
  test('by operation and errno, whatever the number', () => {
    const memory = new SharedArrayBuffer(8192);
    const figures = new DiskFigures(() => {}, 4096, undefined, memory);
    figures.countFailure(OP_WRITE, EIO);
    figures.countFailure(OP_WRITE, EIO);
    figures.countFailure(OP_FLUSH, 28);
    figures.countFailure(OP_FLUSH, 5000);
    figures.countViolation(HEAD_OUT_OF_RANGE);
    figures.countViolation(RING_UNMAPPED);
    figures.countViolation(RING_UNMAPPED);
    const words = new Int32Array(memory);
    expect(failureCounts(words)).toEqual([
      { op: OP_WRITE, errno: EIO, count: 2 },
      { op: OP_FLUSH, errno: 0, count: 1 },
      { op: OP_FLUSH, errno: 28, count: 1 },
    ]);
    expect([...violationCounts(words)]).toEqual([
      [HEAD_OUT_OF_RANGE, 1],
      [RING_UNMAPPED, 2],
    ]);
  });
});

describe('a trace', () => {
  const traced = (ops?: number) => {
    const rig = new LoopRig();
    const trace = new RequestTrace(new SharedArrayBuffer(REQUEST_TRACE_BYTES), ops);
    rig.state.figures.trace = trace;
    return { rig, trace };
  };

  test('has each request with its place, length, time and status', () => {
    const { rig, trace } = traced();
    const { head } = rig.offer(read);
    rig.serve();
    rig.nowMs += 2;
    rig.settle();
    rig.run(blk.discard({ sector: 8, sectors: 8 }, { sector: 32, sectors: 1 }));
    rig.run(flush);
    expect(trace.take()).toMatchObject([
      {
        startMs: 1000,
        tookMs: 2,
        queue: 0,
        head,
        op: OP_READ,
        firstBytes: 4096,
        lengthBytes: 4096,
      },
      { op: OP_DISCARD, firstBytes: 4096, lengthBytes: 4608, status: VIRTIO_BLK_S_OK },
      { op: OP_FLUSH, firstBytes: 0, lengthBytes: 0 },
    ]);
    expect([trace.take(), trace.takeLost()]).toEqual([[], 0]);
  });

  test('has the operations that are asked for only', () => {
    const { rig, trace } = traced(1 << OP_FLUSH);
    rig.run(read);
    rig.run(flush);
    expect(trace.take().map(({ op }) => op)).toEqual([OP_FLUSH]);
  });

  test('is bounded: what comes while it is full is left out and counted', () => {
    const { rig, trace } = traced();
    for (let i = 0; i < TRACE_RECORDS + 10; i++) rig.run(flush);
    expect(trace.take(1)).toHaveLength(1);
    rig.run(read);
    expect(trace.takeLost()).toBe(10);
    const rest = trace.take();
    expect([rest.length, rest.at(-1)?.op]).toEqual([TRACE_RECORDS, OP_READ]);
    expect(trace.takeLost()).toBe(0);
  });
});
