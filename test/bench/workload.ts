/**
 * What a client is asked to do: the operation, how many requests are in flight on how many queues, how large, how
 * fast. A workload's name says all of it, so equal names are equal workloads.
 */

export type Operation =
  | 'randread'
  | 'randwrite'
  | 'randrw'
  | 'read'
  | 'write'
  | 'discard'
  | 'flush'
  /** A write and the flush after it, counted as one request. */
  | 'writeflush';

export type Workload = {
  readonly operation: Operation;
  readonly sizeBytes: number;
  /** Requests in flight on each queue. */
  readonly depth: number;
  readonly queues: number;
  /** Sleeps for completions as a guest does, or spins on the used ring, which leaves the client's wake-ups out. */
  readonly wait: 'sleep' | 'spin';
  /** Null: as fast as possible. */
  readonly ratePerSecond: number | null;
};

export function workload(
  operation: Operation,
  sizeBytes: number,
  depth: number,
  further: Partial<Workload> = {},
): Workload {
  const usual = { queues: 1, wait: 'sleep', ratePerSecond: null } as const;
  return { operation, sizeBytes, depth, ...usual, ...further };
}

export function workloadName(asked: Workload): string {
  const { operation, sizeBytes, depth, queues, wait, ratePerSecond } = asked;
  const size = operation === 'flush' ? '' : `${sizeBytes / 1024}k `;
  return [
    `${size}${operation}`,
    `depth ${depth}`,
    ...(queues === 1 ? [] : [`${queues} queues`]),
    ...(ratePerSecond === null ? [] : [`${ratePerSecond / 1000} k/s`]),
    ...(wait === 'spin' ? ['polling client'] : []),
  ].join(', ');
}
