/**
 * The load generator put together: disks behind sockets, or the null device in their place, and what a run of it
 * comes to. The command line around it is front-end-load.ts.
 */
import { VIRTIO_BLK_S_OK } from '../../protocol/virtio-blk.ts';
import { cpuMs } from '../support/process-cost.ts';
import { LoadBlocks, type WrongBlock } from './load-blocks.ts';
import { LoadBuffers } from './load-buffers.ts';
import { LoadLane } from './load-lane.ts';
import { LoadMemory } from './load-memory.ts';
import type { LoadOptions } from './load-options.ts';
import { LoadQueue, STATUS_UNTOUCHED } from './load-queue.ts';
import { LoadRandom } from './load-random.ts';
import { type LoadCount, LoadRun } from './load-run.ts';
import { LoadSession } from './load-session.ts';
import { NullDevice } from './null-device.ts';

/** Wrong blocks that are described; all are counted. */
const WRONG_SHOWN = 10;
/** Enough to pass over any disk that a fill or a warm-up may be asked of. */
const PASS_SECONDS = 600;

export type LoadResult = {
  requests: number;
  seconds: number;
  iops: number;
  p50Us: number;
  p99Us: number;
  p999Us: number;
  /** The client's own CPU time, and the back-end's (null when not asked for). */
  clientCpuNs: number;
  backEndCpuNs: number | null;
  kicks: number;
  sleeps: number;
};

export type LoadReport = LoadResult & {
  /** The same generator with the same options against the null device; null when not asked for. */
  ceiling: LoadResult | null;
  wrongBlocks: number;
  wrong: WrongBlock[];
};

/** The generator on its disks, ready to run. */
export class Load {
  wrongBlocks = 0;
  readonly wrong: WrongBlock[] = [];
  readonly #options: LoadOptions;
  readonly #end: () => Promise<void>;
  readonly #lanes: readonly LoadLane[];
  readonly #run: LoadRun;

  private constructor(
    options: LoadOptions,
    memories: readonly LoadMemory[],
    capacities: readonly number[],
    expectedStatus: number,
    end: () => Promise<void>,
  ) {
    const { queues, depth, segments, sizeBytes } = options;
    const shape = { queues, depth, segments, segmentBytes: sizeBytes / segments };
    this.#options = options;
    this.#end = end;
    this.#lanes = memories.flatMap((memory, disk) => {
      const random = new LoadRandom(options.seed + disk + 1);
      // Each disk has a run of its own: one's block on another is wrong.
      const blocks = new LoadBlocks(
        capacities[disk]!,
        { ...options, seed: options.seed + disk },
        random,
      );
      return LoadBuffers.forQueues(memory, shape, options.verify, random).map((buffers, i) => {
        const queue = new LoadQueue(memory, i, options, buffers);
        return new LoadLane({ queue, blocks, buffers }, shape, (wrong) => this.#onWrong(wrong));
      });
    });
    this.#run = new LoadRun(this.#lanes, options.wait, expectedStatus);
  }

  static async onSockets(options: LoadOptions): Promise<Load> {
    const memories = options.sockets.map((_, disk) => memoryFor(options, disk));
    const sessions: LoadSession[] = [];
    const end = async () => {
      for (const session of sessions) await session.end();
      for (const memory of memories) memory.close();
    };
    try {
      for (const [i, socket] of options.sockets.entries())
        sessions.push(await LoadSession.start(socket, memories[i]!, options));
      const capacities = sessions.map(({ capacityBytes }) => capacityBytes);
      return new Load(options, memories, capacities, VIRTIO_BLK_S_OK, end);
    } catch (error) {
      await end().catch(() => {});
      throw error;
    }
  }

  /** The null device writes no status, so the untouched one is right. */
  static async onNullDevice(asked: LoadOptions): Promise<Load> {
    const options = { ...asked, verify: false };
    const memories = options.sockets.map((_, disk) => memoryFor(options, disk));
    const device = await NullDevice.start(memories, options.eventIdx);
    const capacities = memories.map(() => options.spanBytes || 2 ** 30);
    const end = async () => {
      await device.end();
      for (const memory of memories) memory.close();
    };
    return new Load(options, memories, capacities, STATUS_UNTOUCHED, end);
  }

  /** Every block once, in order, one way. */
  pass(force: 'read' | 'write'): void {
    for (const lane of this.#lanes) {
      lane.force = force;
      lane.blocks.onePass();
    }
    this.#run.run(PASS_SECONDS);
    for (const lane of this.#lanes) lane.force = null;
  }

  measure(seconds: number): LoadResult {
    const { backEndPid, order } = this.#options;
    for (const { blocks } of this.#lanes) blocks.endless(order);
    const cpuBefore = backEndPid === 0 ? 0 : cpuMs(backEndPid);
    const count = this.#run.run(seconds);
    const cpuSpentMs = backEndPid === 0 ? null : cpuMs(backEndPid) - cpuBefore;
    return this.#resultOf(count, cpuSpentMs);
  }

  async end(): Promise<void> {
    await this.#end();
  }

  #resultOf(count: LoadCount, backEndCpuMs: number | null): LoadResult {
    const { requests, seconds, kicks, sleeps, clientCpuUs } = count;
    const { latency } = this.#run;
    const us = (share: number) => latency.percentile(share) / 1000;
    return {
      requests,
      seconds,
      iops: requests / seconds,
      p50Us: us(0.5),
      p99Us: us(0.99),
      p999Us: us(0.999),
      clientCpuNs: (clientCpuUs * 1000) / requests,
      backEndCpuNs: backEndCpuMs === null ? null : (backEndCpuMs * 1e6) / requests,
      kicks,
      sleeps,
    };
  }

  #onWrong(wrong: WrongBlock): void {
    this.wrongBlocks++;
    if (this.wrong.length < WRONG_SHOWN) this.wrong.push(wrong);
  }
}

function memoryFor(options: LoadOptions, disk: number): LoadMemory {
  return new LoadMemory(options, new LoadRandom(options.seed + disk + 1));
}

async function measureCeiling(options: LoadOptions): Promise<LoadResult | null> {
  if (options.ceilingSeconds === 0) return null;
  const load = await Load.onNullDevice({ ...options, backEndPid: 0 });
  try {
    if (options.warmSeconds > 0) load.measure(Math.min(options.warmSeconds, 0.2));
    return load.measure(options.ceilingSeconds);
  } finally {
    await load.end();
  }
}

export async function runLoad(options: LoadOptions): Promise<LoadReport> {
  const ceiling = await measureCeiling(options);
  const load = await Load.onSockets(options);
  try {
    if (options.verify) load.pass('write');
    else if (options.hotBlocks > 0) load.pass('read');
    if (options.warmSeconds > 0) load.measure(options.warmSeconds);
    const result = load.measure(options.seconds);
    if (options.verify) load.pass('read');
    return { ...result, ceiling, wrongBlocks: load.wrongBlocks, wrong: load.wrong };
  } finally {
    await load.end();
  }
}
