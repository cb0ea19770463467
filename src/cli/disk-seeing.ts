/**
 * The methods that say what a disk does: stats, the block map, why it stands still. What builds the answers is
 * loaded when somebody asks.
 */
import { SECTOR_SIZE } from '../../protocol/virtio-blk.ts';
import type { DiskMethods } from '../control/controlled-disk.ts';
import type { DiskWhy, WhyThread } from '../control/schema/disk-why.ts';
import { eventfdCount } from '../sys/eventfd.ts';
import { systemCallName, type ThreadState, threadStates } from '../sys/thread-state.ts';
import { monotonicNs } from './hand-over-steps.ts';
import type { ServedDisk } from './served-disk.ts';

type SeeingMethods = Pick<
  DiskMethods,
  'disk_get_stats' | 'disk_get_block_map' | 'disk_trace' | 'disk_why'
>;

function nowMs(): number {
  return monotonicNs() / 1e6;
}

export function seeingMethods(served: ServedDisk): SeeingMethods {
  const { name, open } = served;
  const { disk, workers } = open;
  return {
    async disk_get_stats() {
      const { diskStatsOf } = await import('../control/disk-stats.ts');
      return diskStatsOf(name, workers.figures, nowMs());
    },
    async disk_get_block_map() {
      const { blockMapOf } = await import('../control/disk-stats.ts');
      return blockMapOf(workers.figures, disk.shape.capacitySectors * SECTOR_SIZE);
    },
    async disk_trace(params) {
      const { traceDisk } = await import('../control/disk-trace.ts');
      return await traceDisk(workers.trace, params);
    },
    disk_why: () => whyOf(served),
  };
}

function shownThread({ threadId, name, state, waitsIn, systemCall }: ThreadState): WhyThread {
  const call = systemCall === null ? null : systemCallName(systemCall);
  return { thread: threadId, name, state, waits_in: waitsIn, system_call: call };
}

async function whyOf({ name, open }: ServedDisk): Promise<DiskWhy> {
  const { workers } = open;
  const { figures } = workers;
  const { diskWhyOf } = await import('../control/disk-why.ts');
  const { inspectWorkers } = await import('../worker/inspect-workers.ts');
  const answers = await inspectWorkers(workers);
  const threads = new Map(threadStates().map((thread) => [thread.threadId, thread]));
  const workerThreads = workers.threadIds.map((id) => threads.get(id));
  const all = Array.from({ length: figures.queueCount }, (_, queue) => queue);
  return diskWhyOf({
    name,
    nowMs: nowMs(),
    commands: new Map(all.map((queue) => [queue, figures.board(queue)?.inFlight() ?? []])),
    answers,
    workerThreads: workerThreads.map((thread) => (thread ? shownThread(thread) : null)),
    stuckThreads: [...threads.values()]
      .filter((thread) => thread.state === 'D' && !workers.threadIds.includes(thread.threadId))
      .map(shownThread),
    pendingOf: eventfdCount,
  });
}
