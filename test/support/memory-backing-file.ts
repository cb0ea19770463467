/**
 * A backing file in memory behind the loop device's port, with the one property that real files hide:
 * what is durable. A completed write is volatile until a data sync that was submitted after it completes,
 * or until its own completion when it asked for that; nothing else ever becomes durable.
 * Operations complete when the test reaps, in any order it chooses, and can be made to fail.
 */
import { EINVAL, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE } from '../../protocol/linux.ts';
import {
  type BackingPort,
  IO_FALLOCATE,
  IO_FDATASYNC,
  IO_FLAG_DSYNC,
  IO_READ,
  IO_READV,
  IO_WRITE,
  IO_WRITEV,
  type IoPlace,
  PLACE_ADDRESS,
  PLACE_OFFSET_BYTES,
  type ResultSink,
} from '../../src/loop/backing-port.ts';
import type { HostSpace } from './host-space.ts';

export interface Operation {
  readonly kind: 'read' | 'write' | 'fdatasync' | 'fallocate';
  readonly tag: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** IO_FLAG_* of writes, FALLOC_FL_* of fallocate. */
  readonly flags: number;
  readonly buffers: ReadonlyArray<{ readonly address: number; readonly lengthBytes: number }>;
  /** The file's clock at submission: a sync covers what completed before it. */
  readonly submittedAt: number;
}

/** What goes wrong with an operation: it fails, or it stops after some bytes. */
export type Fault = { readonly result: number } | { readonly shortBytes: number } | Lie;

/** What no file should do: it says that all went well, and has done less, or something else. */
export type Lie =
  /** Only so many bytes were written, zeroed or read; a sync of 0 bytes made nothing durable. */
  | { readonly onlyBytes: number }
  /** Somewhere else. */
  | { readonly atBytes: number }
  /** A read that brings what was there before the last STALE_WRITES writes. */
  | { readonly stale: true };

export interface MemoryBackingOptions {
  readonly sizeBytes: number;
  /** What a file opened O_DIRECT insists on; 1: nothing. */
  readonly memoryAlignBytes?: number;
  readonly offsetAlignBytes?: number;
  /** Which of `count` pending operations completes next; default: the oldest. */
  readonly choose?: (count: number) => number;
  readonly faultOf?: (operation: Operation) => Fault | undefined;
}

/** More than are in flight together: what one replaced among those may still be read. */
const STALE_WRITES = 32;

interface VolatileWrite {
  readonly offsetBytes: number;
  readonly bytes: Uint8Array;
  readonly durably: boolean;
  readonly completedAt: number;
}

export class MemoryBackingFile implements BackingPort {
  /** What reads see, and what would be left after a power cut. Both as long as the file. */
  content: Uint8Array;
  durable: Uint8Array;
  /** Everything that was submitted, in order. */
  readonly submitted: Operation[] = [];
  faultOf: (operation: Operation) => Fault | undefined;
  /** Operations held back: they stay pending while this answers true. */
  holds: (operation: Operation) => boolean = () => false;

  readonly #space: HostSpace;
  readonly #memoryAlign: number;
  readonly #offsetAlign: number;
  readonly #choose: (count: number) => number;
  readonly #pending: Operation[] = [];
  #volatile: VolatileWrite[] = [];
  #clock = 0;
  /** What the last writes have replaced, the latest first. */
  #replaced: Array<{ readonly offsetBytes: number; readonly bytes: Uint8Array }> = [];

  constructor(space: HostSpace, options: MemoryBackingOptions) {
    this.#space = space;
    this.content = new Uint8Array(options.sizeBytes);
    this.durable = new Uint8Array(options.sizeBytes);
    this.#memoryAlign = options.memoryAlignBytes ?? 1;
    this.#offsetAlign = options.offsetAlignBytes ?? 1;
    this.#choose = options.choose ?? (() => 0);
    this.faultOf = options.faultOf ?? (() => undefined);
  }

  get pendingCount(): number {
    return this.#pending.length;
  }

  /** Shortens the file, as somebody else might. */
  truncate(sizeBytes: number): void {
    this.content = this.content.slice(0, sizeBytes);
    this.durable = this.durable.slice(0, sizeBytes);
  }

  submit(operation: number, tag: number, place: IoPlace, length: number, flags: number): void {
    const offsetBytes = place[PLACE_OFFSET_BYTES]!;
    const address = place[PLACE_ADDRESS]!;
    if (this.#pending.some((other) => other.tag === tag)) {
      throw new Error(`tag ${tag} submitted while it is pending`);
    }
    const kind = KIND_OF.get(operation);
    if (kind === undefined) throw new Error(`operation ${operation} is not one`);
    const isVector = operation === IO_READV || operation === IO_WRITEV;
    const transfers = kind === 'read' || kind === 'write';
    const buffers = isVector
      ? this.#space.vectors(address, length)
      : transfers
        ? [{ address, lengthBytes: length }]
        : [];
    const lengthBytes = transfers
      ? buffers.reduce((sum, buffer) => sum + buffer.lengthBytes, 0)
      : length;
    const submittedAt = this.#clock++;
    const whole = { kind, tag, offsetBytes, lengthBytes, flags, buffers, submittedAt } as const;
    this.submitted.push(whole);
    this.#pending.push(whole);
  }

  /** Operations that have not completed, oldest first. */
  get pending(): readonly Operation[] {
    return this.#pending;
  }

  /** Whoever submitted has died: what is pending is carried out or not, and nobody hears of it. */
  orphan(carriedOut: boolean): void {
    for (const operation of this.#pending.splice(0)) if (carriedOut) this.#execute(operation);
  }

  /** Completes up to `limit` pending operations; how many. */
  reap(sink: ResultSink, limit = Number.POSITIVE_INFINITY): number {
    let done = 0;
    for (; done < limit; done++) {
      const ready = this.#pending.filter((operation) => !this.holds(operation));
      if (ready.length === 0) break;
      const operation = ready[this.#choose(ready.length)]!;
      this.#pending.splice(this.#pending.indexOf(operation), 1);
      sink.onResult(operation.tag, this.#execute(operation));
    }
    return done;
  }

  #execute(operation: Operation): number {
    if (this.#misaligned(operation)) return -EINVAL;
    const fault = this.faultOf(operation);
    if (fault === undefined) return this.#carryOut(operation, operation.lengthBytes);
    if ('result' in fault) return fault.result;
    if ('shortBytes' in fault) return this.#carryOut(operation, fault.shortBytes);
    return this.#lie(operation, fault);
  }

  #lie(operation: Operation, lie: Lie): number {
    const { kind, lengthBytes } = operation;
    if ('atBytes' in lie) {
      return this.#carryOut({ ...operation, offsetBytes: lie.atBytes }, lengthBytes);
    }
    if ('stale' in lie) {
      const now = this.content;
      this.content = now.slice();
      for (const { bytes, offsetBytes } of this.#replaced) this.content.set(bytes, offsetBytes);
      const result = this.#carryOut(operation, lengthBytes);
      this.content = now;
      return result;
    }
    if (kind === 'read' || kind === 'write') this.#carryOut(operation, lie.onlyBytes);
    else if (kind === 'fallocate') this.#carryOut({ ...operation, lengthBytes: lie.onlyBytes }, 0);
    return kind === 'read' || kind === 'write' ? lengthBytes : 0;
  }

  #carryOut(operation: Operation, limit: number): number {
    switch (operation.kind) {
      case 'read':
        return this.#read(operation, limit);
      case 'write':
        return this.#write(operation, limit);
      case 'fallocate':
        return this.#zero(operation);
      case 'fdatasync':
        this.#sync(operation.submittedAt);
        return 0;
    }
  }

  #misaligned({ kind, offsetBytes, buffers }: Operation): boolean {
    if (kind === 'fdatasync' || kind === 'fallocate') return false;
    return (
      offsetBytes % this.#offsetAlign !== 0 ||
      buffers.some(
        ({ address, lengthBytes }) =>
          address % this.#memoryAlign !== 0 || lengthBytes % this.#offsetAlign !== 0,
      )
    );
  }

  #read(operation: Operation, limit: number): number {
    let at = operation.offsetBytes;
    const end = Math.min(at + limit, this.content.length);
    for (const { address, lengthBytes } of operation.buffers) {
      const piece = Math.max(0, Math.min(lengthBytes, end - at));
      this.#space.bytesAt(address, piece).set(this.content.subarray(at, at + piece));
      at += piece;
    }
    return at - operation.offsetBytes;
  }

  #write(operation: Operation, limit: number): number {
    const bytes = new Uint8Array(Math.min(limit, operation.lengthBytes));
    let done = 0;
    for (const { address, lengthBytes } of operation.buffers) {
      const piece = Math.min(lengthBytes, bytes.length - done);
      bytes.set(this.#space.bytesAt(address, piece), done);
      done += piece;
    }
    this.#store(operation.offsetBytes, bytes, (operation.flags & IO_FLAG_DSYNC) !== 0);
    return bytes.length;
  }

  #zero(operation: Operation): number {
    const modes = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    if ((operation.flags & modes) === 0) throw new Error(`fallocate mode ${operation.flags}`);
    const end = Math.min(operation.offsetBytes + operation.lengthBytes, this.content.length);
    const length = Math.max(0, end - operation.offsetBytes);
    this.#store(operation.offsetBytes, new Uint8Array(length), false);
    return 0;
  }

  #store(offsetBytes: number, bytes: Uint8Array, durably: boolean): void {
    const end = offsetBytes + bytes.length;
    if (end > this.content.length) {
      this.content = grown(this.content, end);
      this.durable = grown(this.durable, end);
    }
    this.#replaced = [
      { offsetBytes, bytes: this.content.slice(offsetBytes, end) },
      ...this.#replaced.slice(0, STALE_WRITES - 1),
    ];
    this.content.set(bytes, offsetBytes);
    if (durably) this.durable.set(bytes, offsetBytes);
    // A durable one, too: a sync must not put what came before it in its place.
    this.#volatile.push({ offsetBytes, bytes, durably, completedAt: this.#clock++ });
  }

  #sync(submittedAt: number): void {
    for (const { bytes, offsetBytes, durably, completedAt } of this.#volatile) {
      // Those that were durable by themselves stay on top of what they came after.
      if (durably || completedAt < submittedAt) this.durable.set(bytes, offsetBytes);
    }
    this.#volatile = this.#volatile.filter(({ completedAt }) => completedAt > submittedAt);
  }
}

const KIND_OF = new Map<number, Operation['kind']>([
  [IO_READ, 'read'],
  [IO_READV, 'read'],
  [IO_WRITE, 'write'],
  [IO_WRITEV, 'write'],
  [IO_FDATASYNC, 'fdatasync'],
  [IO_FALLOCATE, 'fallocate'],
]);

function grown(bytes: Uint8Array, sizeBytes: number): Uint8Array {
  const larger = new Uint8Array(sizeBytes);
  larger.set(bytes);
  return larger;
}
