/**
 * What a guest leaves behind: the console that QEMU writes in its working folder, and the files of it that are kept with the
 * results, in a folder by its name.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CONSOLE_END_CHARACTERS = 3000;

export class GuestRecord {
  readonly #console: string;
  readonly #keepFolder: string;

  constructor(workFolder: string, keepFolder: string) {
    this.#console = join(workFolder, 'console');
    this.#keepFolder = keepFolder;
  }

  get console(): string {
    try {
      return readFileSync(this.#console, 'latin1').replaceAll('\r', '');
    } catch {
      return '';
    }
  }

  get lastOfConsole(): string {
    return this.console.slice(-CONSOLE_END_CHARACTERS);
  }

  keep(name: string, text: string): void {
    mkdirSync(this.#keepFolder, { recursive: true });
    writeFileSync(join(this.#keepFolder, name), text);
  }
}
