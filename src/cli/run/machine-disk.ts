/**
 * A disk of `vloop run`: its process, and what happens when that dies while the machine runs. A crashed one is
 * started again on the same socket: QEMU connects again by itself and the requests in flight are taken up. One that
 * was told to end stays ended.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DiskProcess, DiskStartError, endInWords } from '../disk-process.ts';
import { RestartDelays } from '../restart-delays.ts';
import type { DiskArgument } from './disk-argument.ts';

/** Between looks at a successor, which is nobody's child here. */
const LOOK_EVERY_MS = 500;

export class MachineDisk {
  readonly #file: string;
  readonly #args: readonly string[];
  readonly #onLine: (line: string) => void;
  readonly #say: (words: string) => void;
  readonly #delays = new RestartDelays();
  readonly #stopping = new AbortController();
  #process: DiskProcess | null = null;
  #watching: Promise<void> = Promise.resolve();

  /** `onLine` takes lines of its log, `say` what the user has to know. */
  constructor(
    { file, options }: DiskArgument,
    socketPath: string,
    moreOptions: readonly string[],
    onLine: (line: string) => void,
    say: (words: string) => void,
  ) {
    this.#file = file;
    this.#args = [`--socket-path=${socketPath}`, ...moreOptions, ...options, '--', file];
    this.#onLine = onLine;
    this.#say = say;
  }

  /** Resolves when its socket listens. Throws DiskStartError. */
  async start(): Promise<void> {
    const started = new DiskProcess(this.#args, this.#onLine);
    this.#process = started;
    await started.serving();
    this.#watching = this.#watch(started);
    // An error of this program's own is not to be lost until somebody waits for it.
    this.#watching.catch(() => {});
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#process?.stop();
    await this.#watching;
  }

  async #watch(started: DiskProcess): Promise<void> {
    let current: DiskProcess | null = started;
    while (current !== null) {
      const startedMs = performance.now();
      const end = await current.ended;
      // A live upgrade: the successor goes on in the same group.
      while (!this.#stopping.signal.aborted && current.running) await this.#pause(LOOK_EVERY_MS);
      if (this.#stopping.signal.aborted) return;
      current.forget();
      const what = `disk ${this.#file}: its process ${endInWords(end)}`;
      if (end.status === 0) {
        this.#say(`${what}: the machine goes on without it`);
        return;
      }
      current = await this.#startAgain(what, performance.now() - startedMs);
    }
  }

  /** Null: given up, or this disk is to stop. */
  async #startAgain(what: string, livedMs: number): Promise<DiskProcess | null> {
    let lived = livedMs;
    for (;;) {
      const waitMs = this.#delays.next(lived);
      if (waitMs === null) {
        this.#say(`${what}: given up, the machine goes on without it`);
        return null;
      }
      await this.#pause(waitMs);
      if (this.#stopping.signal.aborted) return null;
      const started = new DiskProcess(this.#args, this.#onLine);
      this.#process = started;
      try {
        await started.serving();
        this.#say(`${what}: started again`);
        return started;
      } catch (error) {
        if (!(error instanceof DiskStartError)) throw error;
        started.forget();
        if (this.#stopping.signal.aborted) return null;
        this.#say(`${what}, and cannot be started again: ${error.message}`);
        lived = 0;
      }
    }
  }

  async #pause(milliseconds: number): Promise<void> {
    await sleep(milliseconds, null, { signal: this.#stopping.signal }).catch(() => {});
  }
}
