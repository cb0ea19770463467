/**
 * What a session needs of the disk and of the process; declared here because the session is its user.
 * The real one is a LoopDisk and a few system calls, the tests' one records.
 * Refusals are sentences; a rejected promise is the disk's own failure and ends the session.
 */

import type { IotlbUpdate } from '../memory/iotlb.ts';
import type { RegionDescription } from '../memory/region-table.ts';
import type { MissedPage } from '../virtqueue/translated-chain.ts';
import type { InflightDescription } from '../worker/inflight-memory.ts';
import type { VringStart } from '../worker/messages.ts';
import type { LogPlace } from '../worker/shared-log.ts';

export interface SessionDisk {
  /** Offered virtio features. */
  readonly features: bigint;
  readonly queueCount: number;
  readonly memorySlotCount: number;
  readonly writeback: boolean;
  configSpace(): Uint8Array;
  setFeatures(acked: bigint): Promise<void>;
  setWriteback(writeback: boolean): Promise<void>;
  /** fds of regions are only borrowed for the call. */
  addRegion(region: RegionDescription, fd: number): Promise<string | null>;
  removeRegion(region: RegionDescription): Promise<string | null>;
  replaceRegions(
    regions: ReadonlyArray<{ readonly region: RegionDescription; readonly fd: number }>,
  ): Promise<string | null>;
  /**
   * How many requests in flight were taken up again, or why it cannot run. fds of a vring are borrowed until
   * it has stopped or the fd was replaced.
   */
  startVring(start: VringStart): Promise<string | number>;
  /**
   * Drains, stops, answers where the ring stands: its next base. `suspend`: what is in flight is left to the in-flight
   * region, if there is one.
   */
  stopVring(index: number, options?: { readonly suspend?: boolean }): Promise<number>;
  setVringEnabled(index: number, enabled: boolean): Promise<void>;
  setVringFd(index: number, which: 'kick' | 'call' | 'err', fd: number): Promise<void>;
  /** Makes an in-flight region and uses it; no vring runs. Its fd is the caller's. */
  createInflight(
    queueCount: number,
    queueSize: number,
    packed: boolean | null,
  ): { fd: number; description: InflightDescription } | string;
  /** Uses an in-flight region; no vring runs. The fd is only borrowed for the call. */
  setInflight(description: InflightDescription, fd: number): string | null;
  /** Takes a dirty log; its fd is only borrowed. `ringsEnd`: where the logged rings end. */
  setLog(place: LogPlace, fd: number, ringsEnd: number): Promise<string | null>;
  /** The fd is borrowed until another one is set; -1: none. */
  setLogEventFd(fd: number): Promise<void>;
  /** Of a vring that runs; -1: its ring is not logged. */
  setVringLog(index: number, guestAddress: number): Promise<void>;
  /** Told of pages that a vring lacks translations for; the vring stands still until `retryVring`. */
  onMiss: (vring: number, pages: readonly MissedPage[]) => void;
  updateIotlb(update: IotlbUpdate): string | null;
  /** Resolves when no command in flight uses [start, end) any more. */
  invalidateIotlb(start: number, end: number): Promise<void>;
  retryVring(index: number, denied: boolean): void;
  /** Signals an eventfd of a vring that does not run. */
  signal(fd: number): void;
  /** The session is over: everything back to how it was before. */
  reset(): Promise<void>;
}

/** What comes back on a channel for back-end messages. */
export interface ChannelEvents {
  /** The bytes are valid during the call only. */
  onBytes(bytes: Uint8Array): void;
  onClosed(): void;
}

export interface ChannelSocket {
  /** 0, or -errno (-EAGAIN: the front-end does not read). */
  send(bytes: Uint8Array): number;
  /** Nothing is called back afterwards. */
  close(): void;
}

/** A watch on an eventfd of this process's own. */
export interface EventfdWatch {
  /** Ends it, before the fd is closed. True: a signal was there that nobody was told of. */
  stop(): boolean;
}

export interface SessionPort {
  readonly disk: SessionDisk;
  /** `fds` go with the first byte and stay the caller's. */
  send(bytes: Uint8Array, fds?: readonly number[]): void;
  closeFd(fd: number): void;
  /** False: the fd is no eventfd, and writing to it could block a worker for good. */
  adoptEventfd(fd: number): boolean;
  /** An eventfd, or -errno. */
  createEventfd(): number;
  /** Calls back after signals. */
  watchEventfd(fd: number, onSignal: () => void): EventfdWatch;
  /** Takes the fd over, unless the answer is null: then it is no connected unix socket. */
  openChannel(fd: number, events: ChannelEvents): ChannelSocket | null;
  /** Writes everything to an fd, which it takes over. Bounded; null, or why not. */
  sendState(fd: number, bytes: Uint8Array): Promise<string | null>;
  /** Reads an fd to its end. Takes it over, bounded; the bytes, or why not. */
  receiveState(fd: number, limitBytes: number): Promise<Uint8Array | string>;
  /** Calls back once; what is answered takes that back. */
  after(milliseconds: number, callback: () => void): () => void;
  /**
   * Something that a person should read; `level` as in pino. `text` is one of a few, what differs stands in `fields`: lines
   * are limited by it (log/guest-lines.ts), because a guest or a front-end causes every one of them.
   */
  log(
    level: 'debug' | 'info' | 'warn',
    fields: Readonly<Record<string, unknown>>,
    text: string,
  ): void;
}
