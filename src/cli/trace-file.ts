/**
 * The file of --trace-messages: lines are appended at once, so that none is lost when the process dies,
 * and readable for the owner only. A line that cannot be written is lost and counted; nothing waits for
 * the file and nothing fails with it.
 */
import { constants, openSync, writeSync } from 'node:fs';
import { GuestLines } from '../log/guest-lines.ts';
import type { Log } from '../log.ts';

/** A trace file that cannot be opened: exit status 1, as for the disk itself. */
export class TraceError extends Error {
  readonly code = 'VLOOP_TRACE';
}

const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY, O_NOCTTY } = constants;
const OWNER_ONLY = 0o600;

export class TraceFile {
  readonly #fd: number;
  readonly #path: string;
  readonly #lines: GuestLines;
  #lost = 0;
  /** The last line did not end: the file system filled up in the middle of it. */
  #torn = false;

  /** Throws TraceError. */
  constructor(path: string, log: Log) {
    this.#path = path;
    this.#lines = new GuestLines(log);
    try {
      // A pipe that nobody reads is refused instead of waited for, and a full one loses lines.
      this.#fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY, OWNER_ONLY);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
      throw new TraceError(`--trace-messages=${path}: cannot open it for appending (${code})`);
    }
  }

  /** Takes the lines of one disk's front-ends. */
  writer(disk: string): (connection: number, line: string) => void {
    return (connection, line) => this.#append(`${disk} #${connection}`, line);
  }

  /** Appends a line; `origin` names whose it is. */
  #append(origin: string, text: string): void {
    const lost = this.#lost > 0 ? `${this.#stamp()} --- ${this.#lost} lines lost ---\n` : '';
    const line = `${this.#torn ? '\n' : ''}${lost}${this.#stamp()} ${origin} ${text}\n`;
    const bytes = Buffer.from(line);
    try {
      this.#torn = writeSync(this.#fd, bytes) < bytes.length;
      this.#lost = this.#torn ? 1 : 0;
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : String(error);
      if (this.#lost++ === 0) {
        const fields = { file: this.#path, error: code };
        this.#lines.say('warn', fields, 'lines of the message trace are lost');
      }
    }
  }

  #stamp(): string {
    return `${new Date().toISOString()} ${process.pid}`;
  }
}
