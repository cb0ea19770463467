/**
 * Child processes for tests and benchmarks, every wait bounded: a process that does not end in time is killed with
 * its group and reported with its command line and output. Nothing outlives its starter: children ask the kernel for
 * SIGKILL when their parent dies (setpriv --pdeathsig), so even a killed test run leaves no process behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';

export type Finished = {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
};

const OUTPUT_LIMIT = 1 << 20;

export class BoundedProcess {
  readonly argv: readonly string[];
  readonly finished: Promise<Finished>;
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';
  #ended = false;

  constructor(argv: readonly string[], cwd?: string) {
    this.argv = argv;
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...argv], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.#stdout = (this.#stdout + chunk.toString()).slice(-OUTPUT_LIMIT);
    });
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-OUTPUT_LIMIT);
    });
    this.finished = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (status, signal) => {
        this.#ended = true;
        resolve({ status, signal, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
    // Whoever waits sees the rejection; a process that nobody waits for must not end the test run.
    this.finished.catch(() => {});
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error(`cannot start: ${this.argv.join(' ')}`);
    return pid;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** What the process has said so far, both streams. */
  get output(): string {
    return `${this.#stdout}${this.#stderr}`;
  }

  /** Signals the process and whatever it started. */
  signal(signal: NodeJS.Signals): void {
    if (this.#ended) return;
    try {
      process.kill(-this.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  /** Waits for the end; kills the process and throws when that takes longer than `timeoutMs`. */
  async within(timeoutMs: number): Promise<Finished> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), timeoutMs);
    });
    const first = await Promise.race([this.finished, late]);
    clearTimeout(timer);
    if (first !== 'late') return first;
    this.signal('SIGKILL');
    const { stdout, stderr } = await this.finished;
    throw new Error(
      `still running after ${timeoutMs} ms: ${this.argv.join(' ')}\n${stdout}${stderr}`,
    );
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.finished;
  }
}

/** Runs a command to its end, whatever its exit status. `stop` tells it and what it started to end (SIGTERM). */
export async function run(
  argv: readonly string[],
  timeoutMs: number,
  stop?: AbortSignal,
): Promise<Finished> {
  stop?.throwIfAborted();
  const child = new BoundedProcess(argv);
  const end = () => child.signal('SIGTERM');
  stop?.addEventListener('abort', end);
  try {
    const finished = await child.within(timeoutMs);
    stop?.throwIfAborted();
    return finished;
  } finally {
    stop?.removeEventListener('abort', end);
  }
}

/** Runs a command that has to succeed; what it says otherwise becomes the error. */
export async function mustRun(
  argv: readonly string[],
  timeoutMs: number,
  stop?: AbortSignal,
): Promise<string> {
  const { status, signal, stdout, stderr } = await run(argv, timeoutMs, stop);
  if (status === 0) return stdout;
  throw new Error(
    `${signal ?? `exit status ${status}`}: ${argv.join(' ')}\n${`${stdout}${stderr}`.trim()}`,
  );
}

/** Polls until `probe` gives a value; `what` names the thing waited for when it does not come. */
export async function waitFor<T>(
  what: () => string,
  timeoutMs: number,
  probe: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`no ${what()} after ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
