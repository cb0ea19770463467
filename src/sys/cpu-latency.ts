/**
 * How soon an idle CPU of this machine must be able to wake (the kernel's PM QoS, cpu_dma_latency): asked
 * for by whoever holds the device open, for as long as that lasts. It holds for every CPU and everybody.
 */
import { closeSync, openSync, writeSync } from 'node:fs';

export const CPU_LATENCY_DEVICE = '/dev/cpu_dma_latency';

/** PM_QOS_CPU_LATENCY_DEFAULT_VALUE: no wish. */
export const CPU_LATENCY_ANY_US = 2_000_000_000;

export class CpuLatencyRequest {
  readonly #fd: number;

  /** Asks for nothing yet. Throws Node's own error when the device cannot be opened. */
  constructor() {
    this.#fd = openSync(CPU_LATENCY_DEVICE, 'w');
    // An open device asks for 0 until it is told otherwise.
    this.ask(CPU_LATENCY_ANY_US);
  }

  ask(latencyUs: number): void {
    writeSync(this.#fd, Int32Array.of(latencyUs));
  }

  close(): void {
    closeSync(this.#fd);
  }
}
