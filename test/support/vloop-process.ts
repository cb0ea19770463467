/**
 * vloop as a child process: started with options, awaited until it serves, its log lines parsed, ended
 * by a signal. It dies with the test run (setpriv --pdeathsig), so that nothing is left behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, within } from './waiting.ts';

const CHECKOUT = join(import.meta.dirname, '../..');
const START_TIMEOUT_MS = 20_000;
const END_TIMEOUT_MS = 10_000;

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly tookMs: number;
}

export interface VloopOptions {
  readonly args: readonly string[];
  /** fds that the child inherits as 3, 4, …; they stay the caller's. */
  readonly inheritedFds?: readonly number[];
  /** A program that starts vloop, with its arguments: it puts the command line behind them. */
  readonly through?: readonly string[];
  /** Options of Node's own (V8's). */
  readonly nodeFlags?: readonly string[];
  /** Environment variables besides this process's own. */
  readonly env?: Readonly<Record<string, string>>;
}

/** The program as it is started here: Node, and the sources. */
export function vloopCommand(nodeFlags: readonly string[] = []): string[] {
  const locked = join(CHECKOUT, 'node_modules/.bin/node');
  const node = existsSync(locked) ? locked : process.execPath;
  return [node, ...nodeFlags, join(CHECKOUT, 'src/cli/vloop.js')];
}

export class VloopProcess {
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';
  #gone = false;
  #fate = 'runs';

  constructor({ args, inheritedFds = [], through = [], nodeFlags = [], env = {} }: VloopOptions) {
    const started = performance.now();
    const command = [...through, ...vloopCommand(nodeFlags), ...args];
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...command], {
      stdio: ['ignore', 'pipe', 'pipe', ...inheritedFds],
      env: { ...process.env, ...env },
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.#stdout += chunk.toString();
    });
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (status, signal) => {
        this.#gone = true;
        this.#fate = `ended with ${signal ?? `status ${status}`}`;
        resolve({ status, signal, tookMs: performance.now() - started });
      });
    });
    this.ended.catch(() => {});
  }

  /** Starts vloop and waits until it serves; when it ends instead, throws with what it said. */
  static async serving(options: VloopOptions): Promise<VloopProcess> {
    const vloop = new VloopProcess(options);
    await eventually(
      () => `"serving" from vloop; it said: ${vloop.stderr}`,
      START_TIMEOUT_MS,
      () => {
        if (vloop.#gone) throw new Error(`vloop ended at start: ${vloop.stderr.trim()}`);
        return vloop.log('serving')[0];
      },
    ).catch(async (error: unknown) => {
      await vloop.kill();
      throw error;
    });
    return vloop;
  }

  /** Runs vloop to its end: for command lines that are to be refused. */
  static async run(args: readonly string[], inheritedFds: readonly number[] = []) {
    const vloop = new VloopProcess({ args, inheritedFds });
    const ended = await vloop.end(null);
    return { ...ended, stdout: vloop.stdout, stderr: vloop.stderr };
  }

  /** The process that serves: the one that was started, or the last that took over. */
  get pid(): number {
    const successor = this.log('took over from another process').at(-1)?.['pid'];
    if (typeof successor === 'number') return successor;
    const { pid } = this.#child;
    if (pid === undefined) throw new Error('vloop could not be started');
    return pid;
  }

  /** That it runs, or how it has ended. */
  get fate(): string {
    return this.#fate;
  }

  signal(signal: NodeJS.Signals): void {
    try {
      process.kill(this.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  /** SIGUSR2, and what the process that took over says of it. */
  async upgrade(): Promise<LogLine> {
    const before = this.log('took over from another process').length;
    this.signal('SIGUSR2');
    return (await this.logged('took over from another process', before + 1)).at(-1)!;
  }

  get alive(): boolean {
    return !this.#gone;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** The log lines so far; lines that are not JSON are left out. */
  get lines(): LogLine[] {
    return this.#stderr
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as LogLine);
  }

  /** The log lines whose text contains `text`. */
  log(text: string): LogLine[] {
    return this.lines.filter((line) => line.msg.includes(text));
  }

  /** Waits for a log line. */
  async logged(text: string, count = 1): Promise<LogLine[]> {
    return await eventually(
      () => `log line "${text}" (${count} of them); the log: ${this.#stderr}`,
      END_TIMEOUT_MS,
      () => {
        const found = this.log(text);
        return found.length >= count ? found : undefined;
      },
    );
  }

  openFds(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Mappings of the memory that front-ends share: what an unmap must bring back to 0. */
  guestMappings(): number {
    return this.mappingsOf('vloop-test-');
  }

  /** Mappings of memfds whose names begin with this. */
  mappingsOf(name: string): number {
    const maps = readFileSync(`/proc/${this.pid}/maps`, 'latin1');
    return maps.split('\n').filter((line) => line.includes(`/memfd:${name}`)).length;
  }

  /** Polls that the workers' io_urings hold in the kernel; null while a ring is busy and does not say. */
  kernelPolls(): number | null {
    let polls = 0;
    for (const fd of readdirSync(`/proc/${this.pid}/fd`)) {
      if (readlinkSync(`/proc/${this.pid}/fd/${fd}`) !== 'anon_inode:[io_uring]') continue;
      const list = readFileSync(`/proc/${this.pid}/fdinfo/${fd}`, 'latin1').split('PollList:')[1];
      if (list === undefined) return null;
      polls += list.split('\n').filter((line) => line.includes('op=')).length;
    }
    return polls;
  }

  rssBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'latin1');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  }

  /** Signals it (or not) and waits for its end; `tookMs` counts from here. Kills it when it hangs. */
  async end(signal: NodeJS.Signals | null = 'SIGTERM'): Promise<Ended> {
    const start = performance.now();
    if (signal !== null && !this.#gone) this.signal(signal);
    try {
      const ended = await within('end of vloop', END_TIMEOUT_MS, this.ended);
      return { ...ended, tookMs: performance.now() - start };
    } catch (error) {
      await this.kill();
      throw new Error(`${error instanceof Error ? error.message : error}; it said: ${this.stderr}`);
    }
  }

  /** SIGKILL, when it still runs. */
  async kill(): Promise<void> {
    if (!this.#gone) {
      this.signal('SIGKILL');
      this.#child.kill('SIGKILL');
    }
    await this.ended;
  }
}
