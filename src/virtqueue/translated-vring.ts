/**
 * A vring, of either layout, whose chains hold the IOTLB entries that they use for as long as they are in
 * flight: an invalidation is answered when the last of them has been given back.
 */
import type { Iotlb } from '../memory/iotlb.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import type { Vring } from './vring.ts';

export class TranslatedVring implements Vring {
  readonly size: number;
  readonly #vring: Vring;
  readonly #iotlb: Iotlb;
  /** By head: the slots of the entries that its chain uses. */
  readonly #held: number[][];

  constructor(vring: Vring, iotlb: Iotlb) {
    this.#vring = vring;
    this.#iotlb = iotlb;
    this.size = vring.size;
    this.#held = Array.from({ length: vring.size }, () => []);
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
    if (popped > 0) this.#hold(chain);
    return popped;
  }

  popRecorded(chain: DescriptorChain): number {
    const popped = this.#vring.popRecorded(chain);
    if (popped > 0) this.#hold(chain);
    return popped;
  }

  break(violation: number): void {
    this.#vring.break(violation);
  }

  refuse(head: number, violation: number): void {
    this.#vring.refuse(head, violation);
    this.#release(head);
  }

  availableCount(): number {
    return this.#vring.availableCount();
  }

  push(head: number, writtenBytes: number): void {
    this.#vring.push(head, writtenBytes);
    this.#release(head);
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
