/**
 * A ring whose used elements come in the order in which its chains were made available, whatever order
 * they end in: what VIRTIO_F_IN_ORDER promises. Stands before a ring of either layout and holds back
 * what ends too early; each chain still has a used element of its own.
 * Source: virtio 1.3 §2.7.9, §2.8.8.
 */
import type { DescriptorChain } from './descriptor-chain.ts';
import type { RingPosition } from './ring-position.ts';
import type { Vring } from './vring.ts';
import { WrappedVring } from './wrapped-vring.ts';

export class InOrderVring extends WrappedVring {
  /** Heads in flight, oldest first: a ring buffer from #first on. */
  readonly #order: Uint16Array;
  #first = 0;
  #count = 0;
  /** By head: 1 when it has ended, and the bytes written. */
  readonly #ended: Uint8Array;
  readonly #writtenBytes: Float64Array;

  constructor(vring: Vring) {
    super(vring);
    this.#order = new Uint16Array(vring.size);
    this.#ended = new Uint8Array(vring.size);
    this.#writtenBytes = new Float64Array(vring.size);
  }

  override pop(chain: DescriptorChain): number {
    const popped = super.pop(chain);
    if (popped === 1) this.#remember(chain.head);
    return popped;
  }

  /** Recorded chains come in the order in which they were taken. */
  override popRecorded(chain: DescriptorChain): number {
    const popped = super.popRecorded(chain);
    if (popped === 1) this.#remember(chain.head);
    return popped;
  }

  #remember(head: number): void {
    const last = this.#first + this.#count;
    this.#order[last < this.size ? last : last - this.size] = head;
    this.#count++;
  }

  /** Answers that wait for an older request are none to the driver. */
  override position(): RingPosition {
    const held = this.#ended.reduce((sum, ended) => sum + ended, 0);
    return { ...super.position(), in_order: true, held_answers: held };
  }

  override refuse(head: number, violation: number): void {
    // The chain just taken is the newest one.
    this.#count--;
    super.refuse(head, violation);
  }

  override push(head: number, writtenBytes: number): void {
    this.#ended[head] = 1;
    this.#writtenBytes[head] = writtenBytes;
    while (this.#count > 0) {
      const oldest = this.#order[this.#first]!;
      if (this.#ended[oldest] === 0) return;
      this.#ended[oldest] = 0;
      this.#first = this.#first + 1 < this.size ? this.#first + 1 : 0;
      this.#count--;
      super.push(oldest, this.#writtenBytes[oldest]!);
    }
  }
}
