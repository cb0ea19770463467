/**
 * What the benchmark asks of a load generator. A client connects to a back-end like every front-end, so the same
 * one drives vloop and its peer.
 */
import type { BackEndProcess } from '../support/back-end-process.ts';

export type Workload = {
  name: string;
  write: boolean;
  depth: number;
  sizeBytes: number;
};

export type Latency = { p50: number; p99: number };

export type Measurement = {
  requests: number;
  seconds: number;
  /** Where the client times single requests. */
  latencyUs?: Latency;
};

export interface Client {
  readonly name: string;
  /** What a reader has to know to repeat the figures: version, access pattern, limits. */
  readonly describe: string;
  /** Connects, runs the workload for about `seconds`, disconnects. Fails rather than waits for ever. */
  measure(backEnd: BackEndProcess, workload: Workload, seconds: number): Promise<Measurement>;
}

/** Buffered 4 KiB requests: the cost of the path, not of a disk. */
export const workloads: readonly Workload[] = [
  { name: '4k read, depth 1', write: false, depth: 1, sizeBytes: 4096 },
  { name: '4k read, depth 4', write: false, depth: 4, sizeBytes: 4096 },
  { name: '4k read, depth 32', write: false, depth: 32, sizeBytes: 4096 },
  { name: '4k write, depth 32', write: true, depth: 32, sizeBytes: 4096 },
];
