/**
 * Starts busy-frontend.ts as a child process and kills it: a virtual machine that dies under load.
 */
import { join } from 'node:path';
import { BoundedProcess } from './bounded-process.ts';
import { eventually } from './waiting.ts';

const SCRIPT = join(import.meta.dirname, 'busy-frontend.ts');
const BUSY_TIMEOUT_MS = 20_000;

export class BusyFrontEnd {
  readonly process: BoundedProcess;

  constructor(socket: string, queueCount: number) {
    this.process = new BoundedProcess([process.execPath, SCRIPT, socket, String(queueCount)]);
  }

  /** Resolves once it has had its first thousand answers. */
  async busy(): Promise<void> {
    await eventually(
      () => `load from the front-end; it said: ${this.process.output}`,
      BUSY_TIMEOUT_MS,
      () => {
        if (this.process.output.includes('busy')) return true;
        if (this.process.ended) throw new Error(`the front-end ended: ${this.process.output}`);
        return undefined;
      },
    );
  }

  /** SIGKILL: its socket closes, its memory goes, nothing is said. */
  async kill(): Promise<void> {
    await this.process.kill();
  }
}
