/**
 * What the benchmark asks of a load generator, and what it hears back. A client connects to a back-end like every
 * front-end, so the same one drives vloop and its peers.
 */
import type { BackEndProcess } from '../support/back-end-process.ts';
import type { Workload } from './workload.ts';

/** Percentiles, in microseconds. */
export type Latency = { p50: number; p99: number; p999: number };

export type Measurement = {
  requests: number;
  seconds: number;
  /** Where the client times single requests. */
  latencyUs?: Latency;
  /** The part of a processor that the client was at work, where it knows; near 1 it measures itself. */
  clientBusy?: number;
  /** Of what was measured, where no process of a back-end has it. */
  cpuSeconds?: number;
};

export const clientNames = ['blkio', 'qemu-img'] as const;
export type ClientName = (typeof clientNames)[number];

export interface Client {
  readonly name: ClientName;
  /** What a reader has to know to repeat the figures: version, access pattern, limits. */
  readonly describe: string;
  /** Connects, runs the workload for about `seconds`, disconnects. Fails rather than waits for ever. */
  measure(backEnd: BackEndProcess, workload: Workload, seconds: number): Promise<Measurement>;
}
