/**
 * What main thread and loop workers say to each other. Every request is answered exactly once, in the
 * worker's own time (a stop is answered when the last request in flight has completed).
 */
import type { Engine, IoPath } from '../backing/choose-engine.ts';
import type { RequestLimits } from '../blk/blk-request.ts';
import type { Translation } from '../memory/iotlb.ts';
import type { MappedRegion } from '../memory/region-table.ts';
import type { TransferBirth } from '../transfer/open-transfer.ts';
import type { RingPosition } from '../virtqueue/ring-position.ts';
import type { MissedPage } from '../virtqueue/translated-chain.ts';
import type { VringAddresses, VringOptions } from '../virtqueue/vring-config.ts';
import type { InflightPlace } from './inflight-memory.ts';
import type { VringStand } from './session-state.ts';
import type { FiguresBirth } from './shared-figures.ts';

/** How the backing file is used: what may change while the disk stands still. */
export interface BackingUse {
  readonly path: IoPath;
  /** Where the disk starts in the file. */
  readonly fileOffsetBytes: number;
  readonly direct: boolean;
  readonly memoryAlignBytes: number;
  readonly offsetAlignBytes: number;
}

/** What a worker needs to be born with; fds and shared memory are the process's. */
export interface WorkerBirth {
  readonly workerIndex: number;
  readonly wakeFd: number;
  readonly queueCount: number;
  readonly memorySlotCount: number;
  /** The CPU to run on, or -1 for any. */
  readonly cpu: number;
  readonly backing: BackingUse & {
    /** -1 for a disk in memory. */
    readonly fd: number;
    /** Where a disk in memory is mapped; 0 for a file. */
    readonly memoryAddress: number;
    readonly sizeBytes: number;
    readonly engine: Engine;
    /** Signalled when there are results, for engines that deliver them themselves; else -1. */
    readonly resultFd: number;
    /** The job board of the I/O threads; null for other engines. */
    readonly board: SharedArrayBuffer | null;
  };
  /** Null: data are the file's as they are. */
  readonly transfer: TransferBirth | null;
  readonly limits: RequestLimits;
  readonly serial: string;
  /** -1: adaptive. */
  readonly pollUs: number;
  /** Int32, SHARED_WORDS. */
  readonly shared: SharedArrayBuffer;
  readonly figures: FiguresBirth;
}

/** A vring to run. fds are borrowed: the session owns them until the vring has stopped. */
export interface VringStart extends VringOptions {
  readonly index: number;
  readonly size: number;
  readonly addresses: VringAddresses;
  readonly enabled: boolean;
  /** Addresses of the ring and in it are I/O virtual ones (VIRTIO_F_ACCESS_PLATFORM). */
  readonly translated: boolean;
  /** -1: the driver does not kick, the ring is polled. */
  readonly kickFd: number;
  readonly callFd: number;
  readonly errFd: number;
  /** Whether the in-flight region, if there is one, says where the ring stands (see QueueInflight). */
  readonly recover: boolean;
  /** Where the used ring is for the dirty log (a guest address), or -1: its writes are not logged. */
  readonly logGuestAddress: number;
  /** The violation that has broken it already, before another process handed it over. */
  readonly broken?: number;
}

/** The dirty log as workers are told of it. */
export interface LogStart {
  /** Where it is mapped. */
  readonly address: number;
  readonly sizeBytes: number;
  /** VHOST_F_LOG_ALL: data and status bytes are logged too, not only rings. */
  readonly logsData: boolean;
  /** Signalled when pages are marked, or -1. */
  readonly eventFd: number;
}

/** What a worker's vrings carry out; the rest is the worker's own. */
export type VringsRequest =
  | {
      readonly kind: 'changeRegions';
      readonly removeSlots: readonly number[];
      readonly add: readonly MappedRegion[];
    }
  | {
      readonly kind: 'startVring';
      readonly vring: VringStart;
      readonly inflight: InflightPlace | null;
    }
  | {
      readonly kind: 'stopVring';
      readonly index: number;
      /** Leave what is in flight to the in-flight region instead of completing it. */
      readonly suspend: boolean;
    }
  | { readonly kind: 'setEnabled'; readonly index: number; readonly enabled: boolean }
  | {
      readonly kind: 'setFd';
      readonly index: number;
      readonly which: 'kick' | 'call' | 'err';
      readonly fd: number;
    }
  | { readonly kind: 'setVringLog'; readonly index: number; readonly guestAddress: number }
  /** Null: nothing is logged any more, and what was mapped may go. */
  | { readonly kind: 'setLog'; readonly log: LogStart | null }
  /** Lets every vring come to a standstill and keeps it there. */
  | { readonly kind: 'pause' }
  /** Ends a pause, also one that is still waiting for requests in flight. Done at once. */
  | { readonly kind: 'resume' }
  | { readonly kind: 'setMode'; readonly writeThrough: boolean; readonly limits: RequestLimits }
  | { readonly kind: 'updateIotlb'; readonly translation: Translation }
  | { readonly kind: 'invalidateIotlb'; readonly start: number; readonly end: number }
  /** Misses were answered; `denied`: one of them has no translation. */
  | { readonly kind: 'retryVring'; readonly index: number; readonly denied: boolean }
  /** Says where everything stands. Done at once, whatever waits. */
  | { readonly kind: 'inspect' }
  /** Null: nobody traces any more. `ops`: a bit for each operation that is wanted. */
  | {
      readonly kind: 'setTrace';
      readonly memory: SharedArrayBuffer | null;
      readonly ops: number;
    }
  | { readonly kind: 'exit' };

export type WorkerRequest =
  | VringsRequest
  /** Only between pause and resume. `anew`: the descriptor stands for another file. */
  | { readonly kind: 'switchBacking'; readonly use: BackingUse; readonly anew: boolean };

/**
 * A base that stopVring answers for a ring that nobody has looked at, so that its in-flight region still says
 * where it stands; and back again.
 */
export function unseen(base: number): number {
  return -1 - base;
}

/**
 * startVring answers how many requests it has taken up again, stopVring where the ring stands (its base), pause
 * where all stand; everything else null. A string is why it was refused.
 */
export type WorkerAnswer =
  | number
  | string
  | readonly VringStand[]
  | readonly VringInspection[]
  | null
  | TransferAnswer;

/** A vring as its worker sees it. */
export interface VringInspection {
  readonly index: number;
  readonly size: number;
  readonly enabled: boolean;
  /** The disk stands still until it is told to go on. */
  readonly paused: boolean;
  /** A stop or a change of memory waits for what is in flight. */
  readonly stopping: boolean;
  /** The front-end is asked for translations of the next chain, or of the ring itself. */
  readonly untranslated: boolean;
  /** Why it is broken, or null. */
  readonly broken: string | null;
  readonly inFlight: number;
  /** Chains that the driver has made available and that were not taken. */
  readonly available: number;
  readonly kickFd: number;
  readonly callFd: number;
  /** Null while memory that the ring needs is away. */
  readonly ring: RingPosition | null;
  /** Heads whose operation the engine has not begun: it has enough to do. */
  readonly unbegun: readonly number[];
}

export interface NumberedVringsRequest {
  readonly id: number;
  readonly request: VringsRequest;
}

/** A command of the user's for the transfer module. Done at once, between two turns. */
export interface TransferIoctl {
  readonly kind: 'transferIoctl';
  readonly command: string;
  readonly argument: unknown;
}

/** What the module has answered, as JSON, or why it has not. */
export interface TransferAnswer {
  readonly json: string | null;
  readonly refusal: string | null;
}

export type WorkerMessage =
  /** `threadId`: as the kernel knows it. */
  | { readonly kind: 'ready'; readonly threadId: number }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: WorkerAnswer }
  | { readonly kind: 'miss'; readonly vring: number; readonly pages: readonly MissedPage[] }
  | { readonly kind: 'violation'; readonly vring: number; readonly name: string }
  | { readonly kind: 'unlogged'; readonly guestAddress: number }
  | { readonly kind: 'transferFailed'; readonly reason: string }
  /** The commands of a vring are to be seen in other memory (command-board.ts). */
  | {
      readonly kind: 'board';
      readonly vring: number;
      readonly size: number;
      readonly memory: SharedArrayBuffer;
    }
  | {
      readonly kind: 'ioError';
      readonly operation: string;
      readonly errno: number;
      readonly offsetBytes: number;
    };

/** Whether a request waits for all vrings of the worker. */
export function changesAll(request: VringsRequest): boolean {
  return (
    request.kind === 'pause' || (request.kind === 'changeRegions' && request.removeSlots.length > 0)
  );
}
