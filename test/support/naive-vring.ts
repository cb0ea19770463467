/**
 * A split ring's device side written for obviousness: every number a BigInt, every access a fresh read
 * of the bytes at a guest address, nothing remembered but the indices and the set of heads in flight.
 * Property tests hold SplitVring against it. Violations are not told apart.
 * Source: virtio 1.3 §2.7.
 */
import type { GuestRam } from './mock-driver-memory.ts';
import type { RingPlace } from './mock-driver-ring.ts';
import { type NaiveRun, naiveRead, naiveWalk } from './naive-chain.ts';

export type NaivePop =
  | { kind: 'none' }
  | { kind: 'violation' }
  | { kind: 'chain'; head: bigint; runs: NaiveRun[] };

const WRAP = 65536n;

export class NaiveVring {
  broken = false;
  readonly inFlight = new Set<bigint>();
  next: bigint;
  /** avail.idx as it was when everything before it had been taken: a driver cannot take it back. */
  seen: bigint;
  used: bigint;
  published: bigint;

  readonly ram: GuestRam;
  readonly size: bigint;
  readonly at: RingPlace;
  readonly eventIdx: boolean;
  readonly indirect: boolean;

  constructor(ram: GuestRam, size: number, at: RingPlace, eventIdx: boolean, indirect: boolean) {
    this.ram = ram;
    this.size = BigInt(size);
    this.at = at;
    this.eventIdx = eventIdx;
    this.indirect = indirect;
    this.next = this.read(at.avail + 2, 2);
    this.seen = this.next;
    this.used = this.read(at.used + 2, 2);
    this.published = this.used;
  }

  read(address: number, bytes: number): bigint {
    return naiveRead(this.ram, address, bytes)!;
  }

  write(address: number, bytes: number, value: bigint): void {
    for (let i = 0; i < bytes; i++) {
      this.ram.write(address + i, Uint8Array.of(Number((value >> BigInt(8 * i)) % 256n)));
    }
  }

  get inFlightCount(): number {
    return this.inFlight.size;
  }

  get base(): bigint {
    return this.next;
  }

  get hasAvailable(): boolean {
    return this.seen !== this.next || this.read(this.at.avail + 2, 2) !== this.next;
  }

  pop(): NaivePop {
    if (this.broken || !this.hasAvailable) return { kind: 'none' };
    if (this.seen === this.next) this.seen = this.read(this.at.avail + 2, 2);
    const available = (this.seen - this.next + WRAP) % WRAP;
    const head = this.read(this.at.avail + 4 + 2 * Number(this.next % this.size), 2);
    const wrong = available > this.size || head >= this.size || this.inFlight.has(head);
    const { ram, at, size, indirect } = this;
    const runs = wrong ? null : naiveWalk(ram, BigInt(at.desc), size, head, indirect);
    if (runs === null) {
      this.broken = true;
      return { kind: 'violation' };
    }
    this.inFlight.add(head);
    this.next = (this.next + 1n) % WRAP;
    return { kind: 'chain', head, runs };
  }

  push(head: bigint, written: bigint): void {
    const element = this.at.used + 4 + 8 * Number(this.used % this.size);
    this.write(element, 4, head);
    this.write(element + 4, 4, written);
    this.used = (this.used + 1n) % WRAP;
    this.inFlight.delete(head);
  }

  publish(): boolean {
    const old = this.published;
    if (old === this.used) return false;
    this.write(this.at.used + 2, 2, this.used);
    this.published = this.used;
    if (!this.eventIdx) return (this.read(this.at.avail, 2) & 1n) === 0n;
    const event = this.read(this.at.avail + 4 + 2 * Number(this.size), 2);
    for (let idx = old; idx !== this.used; idx = (idx + 1n) % WRAP) if (idx === event) return true;
    return false;
  }

  suppressKicks(): void {
    if (!this.eventIdx) this.write(this.at.used, 2, 1n);
  }

  armKicks(): boolean {
    if (this.broken) return false;
    if (this.eventIdx) this.write(this.at.used + 4 + 8 * Number(this.size), 2, this.next);
    else this.write(this.at.used, 2, 0n);
    return this.hasAvailable;
  }
}
