/**
 * A command on a real terminal: `script` of util-linux makes one and passes on what is typed and printed; stty gives
 * it another size. What the terminal's settings are before and after the command is printed with it.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { eventually } from './waiting.ts';

const WAIT_MS = 20_000;

/** The word as a shell takes it. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

export class PseudoTerminal {
  readonly #script: ChildProcess;
  #text = '';
  #gone = false;

  constructor(command: readonly string[], columns: number, rows: number) {
    const words = command.map(quoted).join(' ');
    const shell = [
      `stty cols ${columns} rows ${rows}`,
      'echo "BEFORE $(stty -g)"',
      'echo "TERMINAL $(tty)"',
      `sh -c 'echo "PROCESS $$"; exec "$@"' command ${words}`,
      'echo "ENDED $?"',
      'echo "AFTER $(stty -g)"',
    ].join('\n');
    const script = ['script', '--quiet', '--flush', '--command', shell, '/dev/null'];
    this.#script = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...script], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, SHELL: '/bin/sh' },
    });
    this.#script.stdout!.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString();
    });
    this.#script.once('close', () => {
      this.#gone = true;
    });
  }

  get text(): string {
    return this.#text;
  }

  /** What stands behind the word at the beginning of a line. */
  async said(word: string): Promise<string> {
    const line = new RegExp(`${word} ([^\\r\\n]+)\\r?\\n`);
    return await eventually(
      () => `${word} on the terminal: ${JSON.stringify(this.#text)}`,
      WAIT_MS,
      () => line.exec(this.#text)?.[1],
    );
  }

  /** The first that `find` gives of what is printed from now on, or of all. */
  async shows<T>(what: string, find: (text: string) => T | undefined): Promise<T> {
    return await eventually(
      () => `${what}: ${JSON.stringify(this.#text.slice(-3000))}`,
      WAIT_MS,
      () => find(this.#text),
    );
  }

  type(text: string): void {
    this.#script.stdin!.write(text);
  }

  async resize(columns: number, rows: number): Promise<void> {
    const size = ['cols', String(columns), 'rows', String(rows)];
    execFileSync('stty', ['-F', await this.said('TERMINAL'), ...size]);
  }

  /** The terminal goes away, as a window that is closed. */
  close(): void {
    this.#script.kill('SIGKILL');
  }

  /** Nothing is left of it; its command has ended. */
  async ended(): Promise<void> {
    await eventually('end of the terminal', WAIT_MS, () => this.#gone || undefined);
  }
}
