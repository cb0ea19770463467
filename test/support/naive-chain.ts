/**
 * A descriptor chain walked for obviousness: BigInt addresses, one byte at a time, a set of the
 * descriptors already visited. Property tests hold DescriptorChain against it.
 * Source: virtio 1.3 §2.7.5.
 */
import type { GuestRam } from './mock-driver-memory.ts';

/** Guest memory of a buffer: [first address, length in bytes, writable]. */
export type NaiveRun = readonly [bigint, bigint, boolean];

interface NaiveDescriptor {
  readonly address: bigint;
  readonly length: bigint;
  readonly flags: bigint;
  readonly next: bigint;
}

const NEXT = 1n;
const WRITE = 2n;
const INDIRECT = 4n;
const INDIRECT_MAX = 1024n;

/** A little-endian number, or null when a byte of it is nowhere. */
export function naiveRead(ram: GuestRam, address: number | bigint, bytes: number): bigint | null {
  let value = 0n;
  for (let i = bytes - 1; i >= 0; i--) {
    const where = BigInt(address) + BigInt(i);
    const region = ram.regions.find(
      ({ guestAddress, bytes: { length } }) =>
        where >= BigInt(guestAddress) && where < BigInt(guestAddress + length),
    );
    if (region === undefined) return null;
    value = value * 256n + BigInt(region.bytes[Number(where) - region.guestAddress]!);
  }
  return value;
}

/** Whether every byte of a range is somewhere. */
export function isMapped(ram: GuestRam, address: bigint, length: bigint): boolean {
  for (let i = 0n; i < length; i++) if (naiveRead(ram, address + i, 1) === null) return false;
  return true;
}

function readDescriptor(ram: GuestRam, at: bigint): NaiveDescriptor {
  return {
    address: naiveRead(ram, at, 8)!,
    length: naiveRead(ram, at + 8n, 4)!,
    flags: naiveRead(ram, at + 12n, 2)!,
    next: naiveRead(ram, at + 14n, 2)!,
  };
}

/** The runs of a chain, or null when anything about it is wrong. */
export function naiveWalk(
  ram: GuestRam,
  table: bigint,
  entries: bigint,
  head: bigint,
  indirectAllowed: boolean,
  runs: NaiveRun[] = [],
): NaiveRun[] | null {
  const seen = new Set<bigint>();
  for (let index = head; ; ) {
    if (index >= entries || seen.has(index)) return null;
    seen.add(index);
    const { address, length, flags, next } = readDescriptor(ram, table + 16n * index);
    if ((flags & INDIRECT) !== 0n) {
      const count = length / 16n;
      const wrong = !indirectAllowed || (flags & NEXT) !== 0n || length % 16n !== 0n;
      if (wrong || count === 0n || count > INDIRECT_MAX || !isMapped(ram, address, length)) {
        return null;
      }
      return naiveWalk(ram, address, count, 0n, false, runs);
    }
    const writable = (flags & WRITE) !== 0n;
    // Runs keep empty buffers until the end: they count for the order of readable and writable.
    if (!writable && runs.some(([, , before]) => before)) return null;
    if (!isMapped(ram, address, length)) return null;
    runs.push([address, length, writable]);
    if ((flags & NEXT) === 0n) return runs.filter(([, size]) => size > 0n);
    index = next;
  }
}
