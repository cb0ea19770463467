/**
 * The dirty log of a front-end, mapped into this process. Its file is checked first, and sealed against
 * shrinking where nobody has done so: touching a page past its end would be SIGBUS, which JavaScript
 * cannot catch. Source: vhost-user.rst, VHOST_USER_SET_LOG_BASE.
 */
import { closeSync, fstatSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { F_SEAL_SHRINK } from '../../protocol/linux.ts';
import { logCoversBelow } from '../memory/dirty-log.ts';
import { duplicateFd } from '../sys/descriptor.ts';
import { addSeals, sealsOf } from '../sys/memfd.ts';
import { mapShared, unmap } from '../sys/mmap.ts';

/** What SET_LOG_BASE says of the log. */
export interface LogPlace {
  readonly sizeBytes: number;
  readonly mmapOffset: number;
}

/** The log as another process maps it. */
export interface LogState {
  readonly place: LogPlace;
  readonly fd: number;
}

const PAGE_BYTES = 4096;

/** A bit a page of 128 TiB: more guest memory than x86-64 kernels of today map. */
const LOG_BYTES_MAX = 2 ** 32;

function invalidPlace({ sizeBytes, mmapOffset }: LogPlace): string | null {
  if (!(sizeBytes >= 1 && sizeBytes <= LOG_BYTES_MAX)) {
    return `mmap size=${sizeBytes}, expected 1 to ${LOG_BYTES_MAX}`;
  }
  if (mmapOffset % PAGE_BYTES !== 0) {
    return `mmap offset=${mmapOffset}, expected a multiple of ${PAGE_BYTES}`;
  }
  const isExact = Number.isSafeInteger(mmapOffset + sizeBytes);
  return isExact ? null : `mmap offset=${mmapOffset} + size=${sizeBytes} is not below 2^53`;
}

/** Whether the file cannot become smaller, from here on at the latest. */
function cannotShrink(fd: number): boolean {
  const seals = sealsOf(fd);
  if (seals < 0) return false;
  return (seals & F_SEAL_SHRINK) !== 0 || addSeals(fd, F_SEAL_SHRINK) === 0;
}

export class SharedLog {
  readonly address: number;
  readonly sizeBytes: number;
  /** For a successor of this process; the fd is a duplicate of the one that was mapped. */
  readonly state: LogState;

  private constructor(address: number, state: LogState) {
    this.address = address;
    this.sizeBytes = state.place.sizeBytes;
    this.state = state;
  }

  /** The log, or a sentence that says why it cannot be one. The fd is only borrowed. */
  static map(place: LogPlace, fd: number): SharedLog | string {
    const { sizeBytes, mmapOffset } = place;
    const invalid = invalidPlace(place);
    if (invalid !== null) return invalid;
    if (!cannotShrink(fd)) {
      return 'its file can be truncated under the mapping, expected a memfd that is sealed or can be';
    }
    // After the seal: what it says now stays true.
    const fileBytes = fstatSync(fd).size;
    if (fileBytes < mmapOffset + sizeBytes) {
      return `mmap size=${sizeBytes} at offset=${mmapOffset} reaches past the end of its file (${fileBytes} bytes)`;
    }
    const address = mapShared(fd, mmapOffset, sizeBytes);
    if (address < 0) return `cannot map ${sizeBytes} bytes (${errnoName(address)})`;
    const kept = duplicateFd(fd);
    if (kept >= 0) return new SharedLog(address, { place, fd: kept });
    unmap(address, sizeBytes);
    return `cannot keep its file open (${errnoName(kept)})`;
  }

  /** Why the log cannot tell of guest addresses up to `end`, or null. */
  tooSmallFor(end: number): string | null {
    const covered = logCoversBelow(this.sizeBytes);
    if (end <= covered) return null;
    return `mmap size=${this.sizeBytes} covers guest addresses below 0x${covered.toString(16)}, expected up to 0x${end.toString(16)}`;
  }

  unmap(): void {
    unmap(this.address, this.sizeBytes);
    closeSync(this.state.fd);
  }
}
