/**
 * The dirty log of a disk: which one a migrating front-end has given, and what its workers are told of it.
 * A log is unmapped when no worker writes to it any more.
 */
import type { LoopWorkers } from './loop-workers.ts';
import { type LogPlace, type LogState, SharedLog } from './shared-log.ts';

export class DiskLog {
  readonly #workers: LoopWorkers;
  /** Whether the driver's features ask for data to be logged. */
  readonly #logsData: () => boolean;
  #log: SharedLog | null = null;
  #eventFd = -1;

  constructor(workers: LoopWorkers, logsData: () => boolean) {
    this.#workers = workers;
    this.#logsData = logsData;
  }

  get state(): LogState | null {
    return this.#log?.state ?? null;
  }

  /**
   * Takes a log instead of the one before. null, or why not: one that is too small for what is written
   * (guest addresses below `end`) would leave old pages behind on the other side, which nobody would notice.
   */
  async set(place: LogPlace, fd: number, end: number): Promise<string | null> {
    const log = SharedLog.map(place, fd);
    if (typeof log === 'string') return log;
    const refusal = log.tooSmallFor(end);
    if (refusal === null) await this.#replace(log);
    else log.unmap();
    return refusal;
  }

  /** The fd stays the session's, until it sets another one. */
  async setEventFd(fd: number): Promise<void> {
    this.#eventFd = fd;
    await this.tell();
  }

  async drop(): Promise<void> {
    this.#eventFd = -1;
    await this.#replace(null);
  }

  /** Also when the driver's features have changed. */
  async tell(): Promise<void> {
    const log = this.#log && {
      address: this.#log.address,
      sizeBytes: this.#log.sizeBytes,
      logsData: this.#logsData(),
      eventFd: this.#eventFd,
    };
    await this.#workers.askAll({ kind: 'setLog', log });
  }

  async #replace(log: SharedLog | null): Promise<void> {
    const old = this.#log;
    this.#log = log;
    await this.tell();
    old?.unmap();
  }
}
