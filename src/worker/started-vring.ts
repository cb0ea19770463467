/**
 * A vring of a worker from its start to its stop, whether it can be served at the moment or not.
 */
import type { LoopQueue } from '../loop/loop-queue.ts';
import type { InflightViews } from '../virtqueue/inflight-region.ts';
import type { VringStart } from './messages.ts';

/** A started vring. Its queue is null while memory or a translation that the ring needs is away. */
export interface StartedVring {
  start: VringStart;
  queue: LoopQueue | null;
  base: number;
  /** The violation that broke it, or 0: new memory does not mend a ring. */
  broken: number;
  /** The in-flight region says where it stands, and nobody has looked there yet. */
  recover: boolean;
  /** Its own translations were denied: it stands still until the driver kicks. */
  unmapped: boolean;
  readonly inflight: { readonly views: InflightViews; readonly entryCount: number } | null;
}

/** It has never had the translations to look at its ring, and at what its in-flight region says. */
export function isUnseen({ recover, inflight, queue }: StartedVring): boolean {
  return recover && inflight !== null && queue === null;
}
