/**
 * The C library as koffi sees it. One rule for all of src/sys: a call answers its value, or -errno.
 * No policy and no logging here; sizes and addresses are Numbers ('uintptr_t' takes them fastest).
 */
import koffi from 'koffi';

const library = koffi.load('libc.so.6');

export type Call = (...args: ReadonlyArray<number | string | null>) => number;

/** Declares a function of libc by its C prototype. */
export function declare(prototype: string): Call {
  return library.func(prototype) as Call;
}

/** A result as value or -errno. Must follow its call at once: errno is the thread's last. */
export function valueOrErrno(result: number): number {
  return result < 0 ? -koffi.errno() : result;
}

/**
 * Bytes with an address that the garbage collector never moves: an explicit ArrayBuffer keeps its
 * store outside V8's heap, which a small typed array would not.
 */
export class FixedBytes {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly address: number;

  constructor(sizeBytes: number) {
    const buffer = new ArrayBuffer(sizeBytes);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.address = Number(koffi.address(this.bytes));
  }
}
