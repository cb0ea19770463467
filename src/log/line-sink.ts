/**
 * Where log lines go: to a descriptor, each whole and at once, so that none is lost when the process dies. A line that
 * cannot be written (the terminal has gone, the disk is full, nobody reads the pipe) is lost and counted; a log is no
 * reason for a disk to end.
 */
import { writeSync } from 'node:fs';

/** How long a pipe may be full that says so instead of blocking, before the line is lost. */
const TRIES = 100;
const PAUSE_MS = 5;

const pause = new Int32Array(new SharedArrayBuffer(4));

export class LineSink {
  readonly #format: (line: string) => string;
  readonly #writeBytes: (bytes: Uint8Array) => number;
  #lost = 0;
  /** The last line did not end. */
  #torn = false;

  /** `format` answers what is written instead of a line of JSON. */
  constructor(
    fd: number,
    format: (line: string) => string,
    writeBytes = (bytes: Uint8Array) => writeSync(fd, bytes),
  ) {
    this.#format = format;
    this.#writeBytes = writeBytes;
  }

  /** As pino calls it: one line, with its end. Never throws. */
  write(line: string): void {
    const lost = this.#lost === 0 ? '' : this.#format(lostLine(this.#lost));
    const text = `${this.#torn ? '\n' : ''}${lost}${this.#format(line)}`;
    if (this.#writeAll(Buffer.from(text))) this.#lost = 0;
    else this.#lost++;
  }

  #writeAll(bytes: Uint8Array): boolean {
    let at = 0;
    for (let tries = 0; tries < TRIES; ) {
      try {
        const taken = this.#writeBytes(bytes.subarray(at));
        at += taken;
        if (at >= bytes.length) break;
        if (taken === 0) tries++;
      } catch (error) {
        // Before the first lost line only: a reader that hangs must not cost every line this time.
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || this.#lost > 0) break;
        tries++;
        Atomics.wait(pause, 0, 0, PAUSE_MS);
      }
    }
    this.#torn = at > 0 ? at < bytes.length : this.#torn;
    return at >= bytes.length;
  }
}

function lostLine(lines: number): string {
  const line = { level: 40, time: Date.now(), pid: process.pid, name: 'vloop', lines };
  return `${JSON.stringify({ ...line, msg: 'lines of the log were lost' })}\n`;
}
