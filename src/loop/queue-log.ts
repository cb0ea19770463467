/**
 * What one vring writes to guest memory, as the dirty log has to know it: data and status bytes of its
 * requests, and its ring. A queue has one of these while a migration wants it to, else none.
 * Source: vhost-user.rst, "Migration".
 */
import type { DirtyLog } from '../memory/dirty-log.ts';
import type { Vring } from '../virtqueue/vring.ts';

/** Guest addresses. */
export interface LoggedRange {
  readonly guestAddress: number;
  readonly sizeBytes: number;
}

export class QueueLog {
  readonly #log: DirtyLog;
  readonly #logsData: boolean;
  readonly #ring: readonly LoggedRange[];
  /** Elements were written to the ring; true at first, because some may wait to be published already. */
  #pushed = true;

  /**
   * `logsData`: VHOST_F_LOG_ALL was acked. `ring`: the parts of the ring that the device writes, none
   * without VHOST_VRING_F_LOG. They are marked whole, a page or two of most rings.
   */
  constructor(log: DirtyLog, logsData: boolean, ring: readonly LoggedRange[]) {
    this.#log = log;
    this.#logsData = logsData;
    this.#ring = ring;
  }

  /** Host memory was written that the driver gave for data or a status. */
  wrote(hostAddress: number, lengthBytes: number): void {
    if (this.#logsData) this.#log.markHost(hostAddress, lengthBytes);
  }

  /** A used element was written, or waits to be: the ring is marked when it is published. */
  pushed(): void {
    this.#pushed = true;
  }

  /** Flags or an event index of the ring were written. */
  wroteRing(): void {
    for (let i = 0; i < this.#ring.length; i++) {
      this.#log.mark(this.#ring[i]!.guestAddress, this.#ring[i]!.sizeBytes);
    }
  }

  /** Publishes the ring's elements: marked before the driver can see them, the index after. */
  publish(vring: Vring): boolean {
    if (!this.#pushed) return vring.publish();
    this.wroteRing();
    const wantsCall = vring.publish();
    this.wroteRing();
    this.#pushed = false;
    return wantsCall;
  }
}
