/**
 * A ring whose used elements come in the order in which its chains were made available, whatever order
 * they end in: what VIRTIO_F_IN_ORDER promises. Stands before a ring of either layout and holds back
 * what ends too early; each chain still has a used element of its own.
 * Source: virtio 1.3 §2.7.9, §2.8.8.
 */
import type { DescriptorChain } from './descriptor-chain.ts';
import type { Vring } from './vring.ts';

export class InOrderVring implements Vring {
  readonly size: number;
  readonly #vring: Vring;
  /** Heads in flight, oldest first: a ring buffer from #first on. */
  readonly #order: Uint16Array;
  #first = 0;
  #count = 0;
  /** By head: 1 when it has ended, and the bytes written. */
  readonly #ended: Uint8Array;
  readonly #writtenBytes: Float64Array;

  constructor(vring: Vring) {
    this.size = vring.size;
    this.#vring = vring;
    this.#order = new Uint16Array(vring.size);
    this.#ended = new Uint8Array(vring.size);
    this.#writtenBytes = new Float64Array(vring.size);
  }

  get inFlightCount(): number {
    return this.#vring.inFlightCount;
  }

  get broken(): number {
    return this.#vring.broken;
  }

  get base(): number {
    return this.#vring.base;
  }

  pop(chain: DescriptorChain): number {
    const popped = this.#vring.pop(chain);
    if (popped === 1) this.#remember(chain.head);
    return popped;
  }

  /** Recorded chains come in the order in which they were taken. */
  popRecorded(chain: DescriptorChain): number {
    const popped = this.#vring.popRecorded(chain);
    if (popped === 1) this.#remember(chain.head);
    return popped;
  }

  #remember(head: number): void {
    const last = this.#first + this.#count;
    this.#order[last < this.size ? last : last - this.size] = head;
    this.#count++;
  }

  break(violation: number): void {
    this.#vring.break(violation);
  }

  refuse(head: number, violation: number): void {
    // The chain just taken is the newest one.
    this.#count--;
    this.#vring.refuse(head, violation);
  }

  availableCount(): number {
    return this.#vring.availableCount();
  }

  push(head: number, writtenBytes: number): void {
    this.#ended[head] = 1;
    this.#writtenBytes[head] = writtenBytes;
    while (this.#count > 0) {
      const oldest = this.#order[this.#first]!;
      if (this.#ended[oldest] === 0) return;
      this.#ended[oldest] = 0;
      this.#first = this.#first + 1 < this.size ? this.#first + 1 : 0;
      this.#count--;
      this.#vring.push(oldest, this.#writtenBytes[oldest]!);
    }
  }

  publish(): boolean {
    return this.#vring.publish();
  }

  suppressKicks(): void {
    this.#vring.suppressKicks();
  }

  armKicks(): boolean {
    return this.#vring.armKicks();
  }
}
