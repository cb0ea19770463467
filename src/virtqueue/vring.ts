/**
 * The interface of an active vring, whatever its layout: a running ring is an object that exists, a
 * stopped one does not. The loop device knows rings only through this.
 * Source: virtio 1.3 §2.6–2.8.
 */
import type { DescriptorChain } from './descriptor-chain.ts';
import type { RingPosition } from './ring-position.ts';

export interface Vring {
  readonly size: number;
  /** Heads (buffer ids of a packed ring) taken and not yet given back. */
  readonly inFlightCount: number;
  /** The violation that broke the ring, or 0. A broken ring gives no more chains. */
  readonly broken: number;
  /**
   * Takes the next chain: 1 = `chain` holds it, 0 = none, CHAIN_MISS = not yet, it stays where it is, other
   * negative numbers = violation, the ring is broken.
   */
  pop(chain: DescriptorChain): number;
  /**
   * Takes the next of the chains that an in-flight region says were taken before this ring started; the
   * answers are those of `pop`. Called until there is none, before the first `pop`.
   */
  popRecorded(chain: DescriptorChain): number;
  /** Breaks the ring. */
  break(violation: number): void;
  /**
   * Breaks the ring for a violation found in the chain just taken, which counts as never taken, or goes
   * on being recorded.
   */
  refuse(head: number, violation: number): void;
  /** Chains that the driver has made available and that were not taken yet; 0 when `pop` would find none. */
  availableCount(): number;
  /** Gives a head back with the bytes written to its writable part; not visible before `publish`. */
  push(head: number, writtenBytes: number): void;
  /** Makes pushed elements visible. True: the driver wants a call. */
  publish(): boolean;
  /** Asks for no kicks while the ring is being served anyway. */
  suppressKicks(): void;
  /** Asks for a kick at the next chain. True: one is there already, so serve again before sleeping. */
  armKicks(): boolean;
  /**
   * What GET_VRING_BASE answers once nothing is in flight: the next avail index, or a packed ring's avail
   * and used index with their wrap counters (packed-position.ts).
   */
  readonly base: number;
  /** Where it stands, for people. */
  position(): RingPosition;
}
