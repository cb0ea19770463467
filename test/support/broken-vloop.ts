/**
 * A vloop that is wrong on purpose, to see that tests find it: loaded by Node before vloop's own modules
 * (`--import`, in every worker too), it changes what one operation in so many does to the file, or what a
 * used element says, and lets vloop believe that all went well. vloop's own code stays as it is.
 * Wants `--io-path=engine`, so that every operation goes through the ring. Which operations are hit follows from
 * what they are and not from their turn, so that a replay hits the same.
 */
import { pathToFileURL } from 'node:url';
import { UringFile } from '../../src/backing/uring-file.ts';
import {
  IO_FALLOCATE,
  IO_READ,
  IO_READV,
  IO_WRITE,
  IO_WRITEV,
  type IoPlace,
  ioPlace,
  PLACE_ADDRESS,
  PLACE_OFFSET_BYTES,
} from '../../src/loop/backing-port.ts';
import { LoopQueue } from '../../src/loop/loop-queue.ts';

export const BREAKAGES = ['lost', 'stale', 'notZeroed', 'swapped', 'usedLength'] as const;
export type Breakage = (typeof BREAKAGES)[number];

/** Node's option that breaks a vloop, and vloop's that lets it. */
export function brokenVloop(breakage: Breakage, oneIn: number) {
  const url = pathToFileURL(import.meta.filename);
  return {
    nodeFlags: [`--import=${url.href}?${breakage}=${oneIn}`],
    args: ['--aio=io_uring', '--io-path=engine'],
  };
}

/** Past the end of every disk of a test: what goes there is lost, what comes from there is zeroes. */
const NOWHERE_BYTES = 2 ** 34;
const SECTOR = 512;

type Submit = UringFile['submit'];
type Held = Parameters<Submit>;

/** Changes where operations of some kinds go. */
function divert(kinds: readonly number[], isHit: (offset: number) => boolean): void {
  const submit = UringFile.prototype.submit;
  UringFile.prototype.submit = function (
    this: UringFile,
    ...[operation, tag, place, ...rest]: Held
  ) {
    const offset = place[PLACE_OFFSET_BYTES]!;
    const hit = kinds.includes(operation) && isHit(offset);
    const to = hit ? ioPlace(offset + NOWHERE_BYTES, place[PLACE_ADDRESS]!) : place;
    submit.call(this, operation, tag, to, ...rest);
  };
}

/** A write that is hit waits for the next one of its batch, and each goes where the other should. */
function swap(isHit: (offset: number) => boolean): void {
  const { submit, reap } = UringFile.prototype;
  const held = new WeakMap<UringFile, Held>();
  const copyOf = (place: IoPlace, offset: number) => ioPlace(offset, place[PLACE_ADDRESS]!);
  UringFile.prototype.submit = function (this: UringFile, ...operation: Held) {
    const [kind, tag, place, ...rest] = operation;
    const offset = place[PLACE_OFFSET_BYTES]!;
    const waiting = held.get(this);
    if (kind !== IO_WRITE && kind !== IO_WRITEV) {
      submit.call(this, ...operation);
    } else if (waiting !== undefined) {
      held.delete(this);
      const [otherKind, otherTag, otherPlace, ...others] = waiting;
      const otherOffset = otherPlace[PLACE_OFFSET_BYTES]!;
      submit.call(this, otherKind, otherTag, copyOf(otherPlace, offset), ...others);
      submit.call(this, kind, tag, copyOf(place, otherOffset), ...rest);
    } else if (isHit(offset)) {
      held.set(this, [kind, tag, copyOf(place, offset), ...rest]);
    } else {
      submit.call(this, ...operation);
    }
  };
  UringFile.prototype.reap = function (this: UringFile) {
    const waiting = held.get(this);
    held.delete(this);
    if (waiting !== undefined) submit.call(this, ...waiting);
    return reap.call(this);
  };
}

function shortenUsed(oneIn: number): void {
  const finish = LoopQueue.prototype.finish;
  LoopQueue.prototype.finish = function (this: LoopQueue, slot, status, usedBytes) {
    const isHit = usedBytes > 1 && ((usedBytes - 1) / SECTOR) % oneIn === 0;
    finish.call(this, slot, status, isHit ? usedBytes - 1 : usedBytes);
  };
}

function breakThis(breakage: string, oneIn: number): void {
  const isHit = (offset: number) => (offset / SECTOR) % oneIn === 0;
  if (breakage === 'lost') divert([IO_WRITE, IO_WRITEV], isHit);
  else if (breakage === 'stale') divert([IO_READ, IO_READV], isHit);
  else if (breakage === 'notZeroed') divert([IO_FALLOCATE], isHit);
  else if (breakage === 'swapped') swap(isHit);
  else if (breakage === 'usedLength') shortenUsed(oneIn);
  else throw new Error(`${breakage}: expected ${BREAKAGES.join(', ')}`);
}

for (const [breakage, oneIn] of new URL(import.meta.url).searchParams) {
  breakThis(breakage, Number(oneIn));
}
