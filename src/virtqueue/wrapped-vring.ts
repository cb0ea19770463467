/**
 * A vring that stands before another one, of either layout, and leaves everything to it. What a ring does
 * besides (used elements in order, IOTLB entries held) is a class that overrides the steps it needs, so that
 * rings without it pay nothing for it.
 */
import type { DescriptorChain } from './descriptor-chain.ts';
import type { RingPosition } from './ring-position.ts';
import type { Vring } from './vring.ts';

export class WrappedVring implements Vring {
  readonly size: number;
  protected readonly vring: Vring;

  constructor(vring: Vring) {
    this.size = vring.size;
    this.vring = vring;
  }

  get inFlightCount(): number {
    return this.vring.inFlightCount;
  }

  get broken(): number {
    return this.vring.broken;
  }

  get base(): number {
    return this.vring.base;
  }

  pop(chain: DescriptorChain): number {
    return this.vring.pop(chain);
  }

  popRecorded(chain: DescriptorChain): number {
    return this.vring.popRecorded(chain);
  }

  break(violation: number): void {
    this.vring.break(violation);
  }

  refuse(head: number, violation: number): void {
    this.vring.refuse(head, violation);
  }

  availableCount(): number {
    return this.vring.availableCount();
  }

  push(head: number, writtenBytes: number): void {
    this.vring.push(head, writtenBytes);
  }

  publish(): boolean {
    return this.vring.publish();
  }

  suppressKicks(): void {
    this.vring.suppressKicks();
  }

  armKicks(): boolean {
    return this.vring.armKicks();
  }

  position(): RingPosition {
    return this.vring.position();
  }
}
