/**
 * A packed ring's device side written for obviousness: every number a BigInt, every access a fresh read
 * of the bytes at a guest address, an index and a wrap counter stepped one descriptor at a time. Property
 * tests hold PackedVring against it. Violations are not told apart. Source: virtio 1.3 §2.8.
 */
import type { GuestRam } from './mock-driver-memory.ts';
import type { RingPlace } from './mock-driver-ring.ts';
import { isMapped, type NaiveRun, naiveRead } from './naive-chain.ts';
import type { NaivePop } from './naive-vring.ts';

const NEXT = 1n;
const WRITE = 2n;
const INDIRECT = 4n;
const AVAIL_BIT = 7n;
const USED_BIT = 15n;
const INDIRECT_MAX = 1024n;

interface Spot {
  readonly index: bigint;
  readonly wrap: bigint;
}

interface Descriptor {
  readonly address: bigint;
  readonly length: bigint;
  readonly id: bigint;
  readonly flags: bigint;
}

export class NaivePackedVring {
  broken = false;
  readonly ram: GuestRam;
  readonly #size: bigint;
  readonly #at: RingPlace;
  readonly #eventIdx: boolean;
  readonly #indirect: boolean;
  /** Buffer ids in flight, and how many descriptors each has. */
  readonly #inFlight = new Map<bigint, bigint>();
  /** What the driver may not see yet: id and flags of the first used descriptor since `publish`. */
  #held: { spot: Spot; word: bigint } | null = null;
  /** Descriptors used since then. */
  #unshown = 0n;
  #avail: Spot;
  #used: Spot;
  #published: Spot;

  constructor(
    ram: GuestRam,
    size: number,
    at: RingPlace,
    options: { readonly eventIdx: boolean; readonly indirect: boolean; readonly base: number },
  ) {
    this.ram = ram;
    this.#size = BigInt(size);
    this.#at = at;
    this.#eventIdx = options.eventIdx;
    this.#indirect = options.indirect;
    const base = BigInt(options.base);
    this.#avail = { index: base % 2n ** 15n, wrap: (base / 2n ** 15n) % 2n };
    this.#used = { index: (base / 2n ** 16n) % 2n ** 15n, wrap: base / 2n ** 31n };
    this.#published = this.#used;
  }

  get inFlightCount(): number {
    return this.#inFlight.size;
  }

  get base(): bigint {
    const half = ({ index, wrap }: Spot) => index + wrap * 2n ** 15n;
    return half(this.#avail) + half(this.#used) * 2n ** 16n;
  }

  get hasAvailable(): boolean {
    const { flags } = this.#read(this.#avail);
    const avail = (flags >> AVAIL_BIT) % 2n;
    const used = (flags >> USED_BIT) % 2n;
    return avail === this.#avail.wrap && used !== this.#avail.wrap;
  }

  pop(): NaivePop {
    if (this.broken || !this.hasAvailable) return { kind: 'none' };
    const list: Descriptor[] = [];
    let spot = this.#avail;
    do {
      list.push(this.#read(spot));
      spot = this.#next(spot);
    } while ((list.at(-1)!.flags & NEXT) !== 0n && BigInt(list.length) <= this.#size);
    const inFlight = [...this.#inFlight.values()].reduce((sum, count) => sum + count, 0n);
    // What the driver was not shown yet is not back with it.
    const taken = inFlight + this.#unshown;
    const { id } = list.at(-1)!;
    const wrong =
      taken + BigInt(list.length) > this.#size || id >= this.#size || this.#inFlight.has(id);
    const runs = wrong ? null : this.#runs(list);
    if (runs === null) {
      this.broken = true;
      return { kind: 'violation' };
    }
    this.#inFlight.set(id, BigInt(list.length));
    this.#avail = spot;
    return { kind: 'chain', head: id, runs };
  }

  push(id: bigint, written: bigint): void {
    const spot = this.#used;
    const flags = spot.wrap * (2n ** AVAIL_BIT + 2n ** USED_BIT) + (written > 0n ? WRITE : 0n);
    const at = this.#at.desc + 16 * Number(spot.index);
    this.#write(at + 8, 4, written);
    const word = id + flags * 2n ** 16n;
    if (this.#held === null) this.#held = { spot, word };
    else this.#write(at + 12, 4, word);
    this.#unshown += this.#inFlight.get(id)!;
    for (let i = this.#inFlight.get(id)!; i > 0n; i--) this.#used = this.#next(this.#used);
    this.#inFlight.delete(id);
  }

  publish(): boolean {
    const held = this.#held;
    if (held === null) return false;
    this.#held = null;
    this.#unshown = 0n;
    this.#write(this.#at.desc + 16 * Number(held.spot.index) + 12, 4, held.word);
    const wish = naiveRead(this.ram, this.#at.avail + 2, 2)! % 4n;
    const offset = naiveRead(this.ram, this.#at.avail, 2)!;
    let called = wish !== 1n;
    if (wish === 2n && this.#eventIdx && offset % 2n ** 15n < this.#size) {
      called = false;
      for (let spot = this.#published; !same(spot, this.#used); spot = this.#next(spot)) {
        if (same(spot, { index: offset % 2n ** 15n, wrap: offset / 2n ** 15n })) called = true;
      }
    }
    this.#published = this.#used;
    return called;
  }

  suppressKicks(): void {
    this.#write(this.#at.used, 2, 0n);
    this.#write(this.#at.used + 2, 2, 1n);
  }

  armKicks(): boolean {
    if (this.broken) return false;
    const { index, wrap } = this.#avail;
    this.#write(this.#at.used, 2, this.#eventIdx ? index + wrap * 2n ** 15n : 0n);
    this.#write(this.#at.used + 2, 2, this.#eventIdx ? 2n : 0n);
    return this.hasAvailable;
  }

  /** What a list of descriptors of the ring describes, or null when anything about it is wrong. */
  #runs(list: readonly Descriptor[]): NaiveRun[] | null {
    if (list.every(({ flags }) => (flags & INDIRECT) === 0n)) return this.#runsOf(list);
    const { address, length } = list[0]!;
    const count = length / 16n;
    const limit = this.#size > INDIRECT_MAX ? this.#size : INDIRECT_MAX;
    const right = this.#indirect && list.length === 1 && length % 16n === 0n;
    if (!right || count === 0n || count > limit || !isMapped(this.ram, address, length))
      return null;
    const table = [];
    for (let i = 0n; i < count; i++) table.push(this.#readAt(address + 16n * i));
    return this.#runsOf(table);
  }

  #runsOf(descriptors: readonly Descriptor[]): NaiveRun[] | null {
    const runs: NaiveRun[] = [];
    for (const { address, length, flags } of descriptors) {
      const writable = (flags & WRITE) !== 0n;
      // Empty buffers count for the order of readable and writable.
      if (!writable && runs.some(([, , before]) => before)) return null;
      if (!isMapped(this.ram, address, length)) return null;
      runs.push([address, length, writable]);
    }
    return runs.filter(([, length]) => length > 0n);
  }

  #next({ index, wrap }: Spot): Spot {
    return index + 1n < this.#size ? { index: index + 1n, wrap } : { index: 0n, wrap: 1n - wrap };
  }

  #read({ index }: Spot): Descriptor {
    return this.#readAt(BigInt(this.#at.desc) + 16n * index);
  }

  #readAt(at: bigint): Descriptor {
    return {
      address: naiveRead(this.ram, at, 8)!,
      length: naiveRead(this.ram, at + 8n, 4)!,
      id: naiveRead(this.ram, at + 12n, 2)!,
      flags: naiveRead(this.ram, at + 14n, 2)!,
    };
  }

  #write(address: number, bytes: number, value: bigint): void {
    for (let i = 0; i < bytes; i++) {
      this.ram.write(address + i, Uint8Array.of(Number((value >> BigInt(8 * i)) % 256n)));
    }
  }
}

function same(a: Spot, b: Spot): boolean {
  return a.index === b.index && a.wrap === b.wrap;
}
