/**
 * A disk in a process of its own: `vloop serve` as a child, in a session of its own, so that Ctrl-C at the
 * terminal does not end the disk before the machine that uses it. A successor (live upgrade) stays in its process
 * group, which is what is signalled and asked for.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoName } from '../../protocol/errno.ts';
import { socketPair } from '../sys/unix-socket.ts';

/** A disk answers SIGTERM within a second, or ends by itself. */
const STOP_LIMIT_MS = 5000;
const LOOK_EVERY_MS = 50;
/** Of what a disk says when it cannot start. */
const SAID_MAX = 64 * 1024;

/** A disk that did not come to serve: what it said, and its exit status. */
export class DiskStartError extends Error {
  readonly code = 'VLOOP_DISK_START';
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

export interface DiskEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** How a process ended, in words. */
export function endInWords({ status, signal }: DiskEnd): string {
  return signal === null ? `ended with status ${status}` : `was killed by ${signal}`;
}

/** The end to hold, and the one that becomes the disk's standard input. Throws DiskStartError. */
function openLifeline(): readonly [number, number] {
  const ends = socketPair();
  if (typeof ends !== 'number') return ends;
  throw new DiskStartError(`no descriptors for a disk process (${errnoName(ends)})`, 1);
}

export class DiskProcess {
  /** Resolves when the process that was started has ended; a successor may go on. */
  readonly ended: Promise<DiskEnd>;
  readonly #child: ChildProcess;
  /** Everything that it had to say has been read. */
  readonly #closed: Promise<void>;
  /** Open for as long as this process wants the disk; Node's own pipe would end with the first process. */
  readonly #lifelineFd: number;
  #said = '';
  #forgotten = false;

  /** Starts `vloop serve ARGS`; `onLine` gets the lines of its log. */
  constructor(args: readonly string[], onLine: (line: string) => void) {
    const [script = ''] = process.argv.slice(1);
    const command = [...process.execArgv, script, 'serve', '--exit-with-stdin', ...args];
    const lifeline = openLifeline();
    this.#lifelineFd = lifeline[0];
    this.#child = spawn(process.execPath, command, {
      detached: true,
      stdio: [lifeline[1], 'pipe', 'pipe'],
    });
    closeSync(lifeline[1]);
    let line = '';
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-SAID_MAX);
      const lines = (line + text).split('\n');
      line = lines.pop()!;
      for (const whole of lines) onLine(whole);
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#said += `vloop: cannot start: ${error.message}\n`;
        resolve({ status: 1, signal: null });
      });
      this.#child.once('exit', (status, signal) => resolve({ status, signal }));
    });
    this.#closed = new Promise((resolve) => {
      for (const event of ['close', 'error']) this.#child.once(event, () => resolve());
    });
  }

  /** Resolves when the disk's socket listens. Throws DiskStartError. */
  async serving(): Promise<void> {
    // The friendly form says where the socket is once it is there.
    const words = once(this.#child.stdout!, 'data').then(() => null);
    words.catch(() => {});
    const end = await Promise.race([words, this.#closed.then(() => this.ended)]);
    this.#child.stdout!.resume();
    if (end === null) return;
    const said = this.#said.split('\n').filter((text) => text.startsWith('vloop: '));
    const reason = said.map((text) => text.slice('vloop: '.length)).join('; ');
    throw new DiskStartError(reason || `the disk process ${endInWords(end)}`, end.status ?? 1);
  }

  /** Whether it, or a successor of it, runs. */
  get running(): boolean {
    return this.#signal(0);
  }

  /** Ends it and its successors: SIGTERM, and SIGKILL when that does not help. */
  async stop(): Promise<void> {
    this.#signal('SIGTERM');
    const deadline = performance.now() + STOP_LIMIT_MS;
    while (this.running && performance.now() < deadline) await sleep(LOOK_EVERY_MS);
    this.#signal('SIGKILL');
    await this.ended;
    this.forget();
  }

  /** Gives up what was held for a process that has ended. */
  forget(): void {
    if (!this.#forgotten) closeSync(this.#lifelineFd);
    this.#forgotten = true;
  }

  #signal(signal: NodeJS.Signals | 0): boolean {
    const { pid } = this.#child;
    if (pid === undefined) return false;
    try {
      process.kill(-pid, signal);
      return true;
    } catch {
      return false;
    }
  }
}
