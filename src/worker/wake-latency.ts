/**
 * Keeps CPUs from sleeping deeply while disks are busy (`--cpu-latency-us`). A driver that waits for an
 * answer lets its CPU sleep, and waking it costs both sides several times what a request does: 15 µs on
 * a virtual machine, more than 50 where C6 is used. The wish is dropped as soon as the disks are idle.
 */

export interface CpuLatencyPort {
  ask(latencyUs: number): void;
}

/** How often disks are looked at. */
export const LOOK_EVERY_MS = 100;
/** Requests since the last look that make disks busy: 1000 a second. */
export const BUSY_REQUESTS = 100;

export class WakeLatency {
  readonly #port: CpuLatencyPort;
  readonly #busyUs: number;
  readonly #anyUs: number;
  readonly #requestCount: () => number;
  #lastCount: number;
  #busy = false;

  /** Asks for `busyUs` while `requestCount` grows, else for `anyUs`. */
  constructor(port: CpuLatencyPort, busyUs: number, anyUs: number, requestCount: () => number) {
    this.#port = port;
    this.#busyUs = busyUs;
    this.#anyUs = anyUs;
    this.#requestCount = requestCount;
    this.#lastCount = requestCount();
  }

  /** To be called every LOOK_EVERY_MS. */
  look(): void {
    const count = this.#requestCount();
    const busy = count - this.#lastCount >= BUSY_REQUESTS;
    this.#lastCount = count;
    if (busy === this.#busy) return;
    this.#busy = busy;
    this.#port.ask(busy ? this.#busyUs : this.#anyUs);
  }
}
