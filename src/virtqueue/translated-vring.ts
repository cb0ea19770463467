/**
 * A vring, of either layout, whose chains hold the IOTLB entries that they use for as long as they are in
 * flight: an invalidation is answered when the last of them has been given back.
 */
import type { Iotlb } from '../memory/iotlb.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import type { Vring } from './vring.ts';
import { WrappedVring } from './wrapped-vring.ts';

export class TranslatedVring extends WrappedVring {
  readonly #iotlb: Iotlb;
  /** By head: the slots of the entries that its chain uses. */
  readonly #held: number[][];

  constructor(vring: Vring, iotlb: Iotlb) {
    super(vring);
    this.#iotlb = iotlb;
    this.#held = Array.from({ length: vring.size }, () => []);
  }

  override pop(chain: DescriptorChain): number {
    const popped = super.pop(chain);
    if (popped > 0) this.#hold(chain);
    return popped;
  }

  override popRecorded(chain: DescriptorChain): number {
    const popped = super.popRecorded(chain);
    if (popped > 0) this.#hold(chain);
    return popped;
  }

  override refuse(head: number, violation: number): void {
    super.refuse(head, violation);
    this.#release(head);
  }

  override push(head: number, writtenBytes: number): void {
    super.push(head, writtenBytes);
    this.#release(head);
  }

  /** For a ring that stops with commands unanswered, whose operations have ended. */
  releaseAll(): void {
    for (let head = 0; head < this.size; head++) this.#release(head);
  }

  #hold(chain: DescriptorChain): void {
    const held = this.#held[chain.head]!;
    for (let segment = 0; segment < chain.segmentCount; segment++) {
      const slot = chain.slot[segment]!;
      this.#iotlb.hold(slot);
      held.push(slot);
    }
  }

  #release(head: number): void {
    const held = this.#held[head]!;
    for (let i = 0; i < held.length; i++) this.#iotlb.release(held[i]!);
    held.length = 0;
  }
}
