/**
 * What one vloop process tells the one that takes over of a disk and its session: all there is, in one
 * structure with a version. Whoever gives a session or a disk a new state adds it here and raises the
 * version, or names it among the reasons of `SessionDisk.pinned`, which keep a session where it is.
 *
 * A number under a key `fd` or `…Fd` is a file descriptor or -1. It crosses as SCM_RIGHTS and is another
 * number on the other side; `encodeState` and `decodeState` see to that.
 */
import type { DiskShape } from '../blk/disk-shape.ts';
import type { RegionDescription } from '../memory/region-table.ts';
import type { VringAddresses } from '../virtqueue/vring-config.ts';
import type { InflightDescription } from './inflight-memory.ts';
import type { FiguresStand } from './shared-figures.ts';
import type { LogState } from './shared-log.ts';

/** Of the structures below and of the steps of hand-over.ts and take-over.ts. */
export const STATE_VERSION = 4;

export interface RegionState {
  readonly region: RegionDescription;
  readonly fd: number;
}

/** What the front-end has set up of the disk; its rings are of the session. */
export interface DiskState {
  /** Feature words are hexadecimal: JSON has no 64-bit numbers. */
  readonly features: string;
  readonly writeback: boolean;
  readonly regions: readonly RegionState[];
  readonly inflight: { readonly description: InflightDescription; readonly fd: number } | null;
  /** The dirty log of a migration; which vrings write to it is of the session. */
  readonly log: LogState | null;
}

export interface VringState {
  readonly index: number;
  readonly size: number;
  readonly base: number;
  readonly addresses: VringAddresses | null;
  readonly logGuestAddress: number;
  readonly started: boolean;
  readonly enabled: boolean;
  readonly drained: boolean;
  readonly kickFd: number;
  readonly callFd: number;
  readonly errFd: number;
}

export interface SessionState {
  readonly features: string;
  readonly featuresSet: boolean;
  readonly protocolFeatures: string;
  /** The virtio device status. */
  readonly status: string;
  readonly configStale: boolean;
  /** The socket for messages of the back-end. */
  readonly channelFd: number;
  /** Signalled when pages are marked in the dirty log. */
  readonly logEventFd: number;
  /** Those that differ from new ones. */
  readonly vrings: readonly VringState[];
}

/** Where a vring stands when nothing of it is in flight any more. */
export interface VringStand {
  readonly index: number;
  readonly base: number;
  /** The violation that broke it, or 0. */
  readonly broken: number;
}

/** A disk that stands still. */
export interface DiskStand {
  readonly vrings: readonly VringStand[];
  /** Counters, latencies, block map: the successor counts on. */
  readonly figures: FiguresStand;
  /** A failed fdatasync of the file (errno), which later flushes have to report; else 0. */
  readonly flushErrno: number;
  /** A disk that has taken another size since the successor was told of it cannot be handed over. */
  readonly shape: DiskShape;
}

export interface EncodedState {
  readonly text: string;
  readonly fds: readonly number[];
}

function namesFd(key: string): boolean {
  return key === 'fd' || key.endsWith('Fd');
}

export function encodeState(state: unknown): EncodedState {
  const fds: number[] = [];
  const text = JSON.stringify(state, (key, value: unknown) =>
    namesFd(key) && typeof value === 'number' && value >= 0 ? fds.push(value) - 1 : value,
  );
  return { text, fds };
}

/** Throws when the text names a descriptor that did not come, or one twice, or leaves one out. */
export function decodeState(text: string, fds: readonly number[]): unknown {
  const taken = new Set<number>();
  const state: unknown = JSON.parse(text, (key, value: unknown) => {
    if (!namesFd(key) || typeof value !== 'number' || value < 0) return value;
    const fd = fds[value];
    if (fd === undefined || taken.has(fd)) throw new Error(`${key}: no file descriptor ${value}`);
    taken.add(fd);
    return fd;
  });
  if (taken.size === fds.length) return state;
  throw new Error(`${fds.length} file descriptors came, expected ${taken.size}`);
}

export function encodeWord(word: bigint): string {
  return `0x${word.toString(16)}`;
}

export function decodeWord(text: string): bigint {
  return BigInt(text);
}
