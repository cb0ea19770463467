/**
 * The dirty log of one worker: which of its vrings mark what in it, for as long as a front-end migrates.
 */
import type { LoopQueue } from '../loop/loop-queue.ts';
import { QueueLog } from '../loop/queue-log.ts';
import type { DirtyLog } from '../memory/dirty-log.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Iotlb } from '../memory/iotlb.ts';
import { translatedWrittenParts, writtenParts } from '../virtqueue/vring-config.ts';
import type { LogStart, VringStart } from './messages.ts';

export class WorkerLog {
  readonly #memory: GuestMemory;
  readonly #open: (log: LogStart) => DirtyLog;
  #log: DirtyLog | null = null;
  #logsData = false;

  constructor(memory: GuestMemory, open: (log: LogStart) => DirtyLog) {
    this.#memory = memory;
    this.#open = open;
  }

  set(log: LogStart | null): void {
    this.#log = log && this.#open(log);
    this.#logsData = log?.logsData ?? false;
  }

  /** Between turns: no request sees a part of the change. */
  apply(queue: LoopQueue, start: VringStart, iotlb: Iotlb | null): void {
    const logsRing = start.logGuestAddress >= 0;
    const wanted = this.#log !== null && (this.#logsData || logsRing);
    const ring = logsRing ? this.#ringParts(start, iotlb) : [];
    queue.log = wanted ? new QueueLog(this.#log!, this.#logsData, ring) : null;
  }

  /** Behind an IOMMU the address that comes with the log flag is an I/O virtual one, too (QEMU). */
  #ringParts(start: VringStart, iotlb: Iotlb | null) {
    return start.translated && iotlb !== null
      ? translatedWrittenParts(iotlb, start, start.packed)
      : writtenParts(this.#memory, start, start.packed, start.logGuestAddress);
  }
}
