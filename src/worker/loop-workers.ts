/**
 * The worker threads of a disk, held by the main thread: starts them, asks them, ends them. A worker
 * sleeps in its ring, so every message is followed by a signal on its wake eventfd.
 */
import { closeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { errnoName } from '../../protocol/errno.ts';
import { JOB_BOARD_BYTES } from '../backing/job-board.ts';
import {
  SHARED_END,
  SHARED_FLUSH_ERRNO,
  SHARED_NO_PUNCH_HOLE,
  SHARED_NO_ZERO_RANGE,
  SHARED_WORDS,
} from '../loop/loop-state.ts';
import { createEventfd, signalEventfd } from '../sys/eventfd.ts';
import { limitMallocArenas } from '../sys/malloc.ts';
import type { MissedPage } from '../virtqueue/translated-chain.ts';
import { DiskTrace } from './disk-trace.ts';
import type {
  TransferIoctl,
  WorkerAnswer,
  WorkerBirth,
  WorkerMessage,
  WorkerRequest,
} from './messages.ts';
import { SharedFigures } from './shared-figures.ts';

/** What workers report; each is bounded in number by the worker. */
export interface WorkerEvents {
  onViolation(vring: number, name: string): void;
  onMiss(vring: number, pages: readonly MissedPage[]): void;
  onIoError(operation: string, errno: number, offsetBytes: number): void;
  /** The transfer module has failed; once a worker. */
  onTransferFailure(reason: string): void;
  /** Guest memory was written that the dirty log is too small for; once for each log. */
  onUnlogged(guestAddress: number): void;
  /** A worker has ended without being asked: the disk cannot go on. */
  onDeath(reason: string): void;
}

/** A worker that cannot run on this machine; the message says why. */
export class WorkerError extends Error {
  readonly code = 'VLOOP_WORKER';
}

export type WorkerSettings = Omit<
  WorkerBirth,
  'workerIndex' | 'cpu' | 'wakeFd' | 'shared' | 'figures' | 'backing'
> & {
  readonly backing: Omit<WorkerBirth['backing'], 'resultFd' | 'board'>;
  /** CPUs that workers are bound to, in turn; none: any. */
  readonly cpus: readonly number[];
};

/** I/O threads for each loop worker, with the engine that needs them: as many blocking calls at once. */
const IO_THREADS = 4;

/**
 * What keeps a thread small, in MiB. Nothing is allocated for a request, so a young generation of V8's
 * usual size would only be filled once, by the start. Below 2 GiB of old generation V8 calls its built-in
 * functions where they are in the binary; above it each thread has a copy of them (2 MiB).
 */
const HEAP_LIMITS = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 512 };

/** One for the main thread, one for all others: nothing on the data path asks for memory. */
const MALLOC_ARENAS = 2;

type SharedSettings = WorkerSettings & Pick<WorkerBirth, 'workerIndex' | 'shared' | 'figures'>;

interface RunningWorker {
  readonly thread: Worker;
  readonly ioThreads: readonly Worker[];
  readonly wakeFd: number;
  readonly resultFd: number;
  readonly asked: Map<number, (answer: WorkerAnswer) => void>;
  /** As the kernel knows it; 0 until it runs. */
  threadId: number;
}

export class LoopWorkers {
  /** What the workers count. */
  readonly figures: SharedFigures;
  /** Who looks on at requests. */
  readonly trace: DiskTrace = new DiskTrace(this);
  readonly #shared: Int32Array;
  readonly #workers: RunningWorker[] = [];
  readonly #events: WorkerEvents;
  #nextId = 0;
  #ready: Promise<void> = Promise.resolve();
  /** From start-up until the end is asked for: a worker that ends meanwhile has died. */
  #serving = false;

  private constructor(shared: Int32Array, figures: SharedFigures, events: WorkerEvents) {
    this.#shared = shared;
    this.figures = figures;
    this.#events = events;
  }

  /** Of all disks in this process. */
  static readonly #started = new Set<LoopWorkers>();

  static {
    // Node cannot end a thread that sleeps in the ring: wake it, however the process comes to its end.
    // One listener for all disks: Node warns of the eleventh.
    process.once('exit', () => {
      for (const workers of LoopWorkers.#started) workers.#wakeAll();
    });
  }

  /** Starts `count` workers; nothing may be asked of them before they are `ready`. */
  static start(count: number, settings: WorkerSettings, events: WorkerEvents): LoopWorkers {
    limitMallocArenas(MALLOC_ARENAS);
    const shared = new SharedArrayBuffer(4 * SHARED_WORDS);
    const figures = new SharedFigures(settings.queueCount);
    const workers = new LoopWorkers(new Int32Array(shared), figures, events);
    const births = Array.from({ length: count }, (_, workerIndex) =>
      workers.#spawn({ ...settings, workerIndex, shared, figures: figures.birth() }),
    );
    LoopWorkers.#started.add(workers);
    workers.#ready = Promise.all(births).then(() => {
      workers.#serving = true;
    });
    // Whoever starts them may fail at something else first.
    workers.#ready.catch(() => {});
    return workers;
  }

  /** Settles when all run; rejects with the first reason why one cannot. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  /** A failed fdatasync that later flushes report (errno), or 0. */
  get flushErrno(): number {
    return Atomics.load(this.#shared, SHARED_FLUSH_ERRNO);
  }

  set flushErrno(errno: number) {
    Atomics.store(this.#shared, SHARED_FLUSH_ERRNO, errno);
  }

  /** The descriptor stands for another file: what was found out of the old one is forgotten. */
  forgetFile(): void {
    for (const word of [SHARED_FLUSH_ERRNO, SHARED_NO_PUNCH_HOLE, SHARED_NO_ZERO_RANGE]) {
      Atomics.store(this.#shared, word, 0);
    }
  }

  get count(): number {
    return this.#workers.length;
  }

  /** The kernel's numbers of the worker threads. */
  get threadIds(): number[] {
    return this.#workers.map(({ threadId }) => threadId);
  }

  ask(worker: number, request: WorkerRequest | TransferIoctl): Promise<WorkerAnswer> {
    const { thread, wakeFd, asked } = this.#workers[worker]!;
    const id = this.#nextId++;
    return new Promise((resolve) => {
      asked.set(id, resolve);
      thread.postMessage({ id, request });
      signalEventfd(wakeFd);
    });
  }

  async askAll(request: WorkerRequest | TransferIoctl): Promise<WorkerAnswer[]> {
    return await Promise.all(this.#workers.map((_, worker) => this.ask(worker, request)));
  }

  /** Ends every worker; nothing may run any more. */
  async end(): Promise<void> {
    this.#serving = false;
    const gone = this.#workers.map(
      ({ thread }) => new Promise<void>((resolve) => thread.once('exit', () => resolve())),
    );
    await this.askAll({ kind: 'exit' });
    await Promise.all(gone);
    LoopWorkers.#started.delete(this);
    for (const { ioThreads, wakeFd, resultFd } of this.#workers.splice(0)) {
      await Promise.all(ioThreads.map((ioThread) => ioThread.terminate()));
      closeSync(wakeFd);
      if (resultFd >= 0) closeSync(resultFd);
    }
  }

  /** Wakes every worker for good: one that went back to its ring would keep the process from ending. */
  #wakeAll(): void {
    Atomics.store(this.#shared, SHARED_END, 1);
    for (const { wakeFd } of this.#workers) signalEventfd(wakeFd);
  }

  #spawn(settings: SharedSettings): Promise<void> {
    const { engine, fd } = settings.backing;
    const wakeFd = newEventfd();
    const resultFd = engine === 'io_uring' ? -1 : newEventfd();
    const board = engine === 'threads' ? new SharedArrayBuffer(JOB_BOARD_BYTES) : null;
    const { cpus, ...rest } = settings;
    const birth: WorkerBirth = {
      ...rest,
      cpu: cpus[settings.workerIndex % cpus.length] ?? -1,
      wakeFd,
      backing: { ...settings.backing, resultFd, board },
    };
    const thread = startThread('./entry', birth);
    const ioThreads = Array.from({ length: board === null ? 0 : IO_THREADS }, () =>
      startThread('../backing/io-thread', { fd, board, resultFd }),
    );
    for (const ioThread of ioThreads) {
      ioThread.on('error', (error) => this.#died(`an I/O thread: ${error.message}`));
    }
    const worker: RunningWorker = {
      thread,
      ioThreads,
      wakeFd,
      resultFd,
      asked: new Map(),
      threadId: 0,
    };
    this.#workers.push(worker);
    return new Promise((resolve, reject) => {
      thread.on('message', (message: WorkerMessage) => {
        if (message.kind === 'ready') {
          worker.threadId = message.threadId;
          resolve();
        } else if (message.kind === 'failed') {
          reject(new WorkerError(message.reason));
          this.#died(message.reason);
        } else this.#onMessage(worker, message);
      });
      thread.on('error', (error) => {
        reject(error);
        this.#died(error.message);
      });
      thread.on('exit', () => this.#died('its thread ended'));
    });
  }

  #died(reason: string): void {
    if (!this.#serving) return;
    this.#serving = false;
    this.#events.onDeath(reason);
  }

  #onMessage(worker: RunningWorker, message: WorkerMessage): void {
    if (message.kind === 'answer') {
      const resolve = worker.asked.get(message.id);
      worker.asked.delete(message.id);
      resolve?.(message.answer);
    } else if (message.kind === 'miss') {
      this.#events.onMiss(message.vring, message.pages);
    } else if (message.kind === 'violation') {
      this.#events.onViolation(message.vring, message.name);
    } else if (message.kind === 'unlogged') {
      this.#events.onUnlogged(message.guestAddress);
    } else if (message.kind === 'transferFailed') {
      this.#events.onTransferFailure(message.reason);
    } else if (message.kind === 'ioError') {
      this.#events.onIoError(message.operation, message.errno, message.offsetBytes);
    } else if (message.kind === 'board') {
      this.figures.setBoard(message.vring, message.size, message.memory);
    }
  }
}

function newEventfd(): number {
  const fd = createEventfd();
  if (fd < 0) throw new WorkerError(`cannot create an eventfd: ${errnoName(fd)}`);
  return fd;
}

/** Starts a thread from a module of this package: .ts in a clone, .js where it is built. */
function startThread(module: string, workerData: unknown): Worker {
  const suffix = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
  const url = new URL(`${module}${suffix}`, import.meta.url);
  return new Worker(url, { workerData, resourceLimits: HEAP_LIMITS });
}
