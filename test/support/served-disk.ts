/**
 * A test's whole set-up in one: a scratch directory with an image in it, vloop serving it, front-ends
 * on its socket. `close` ends all of it, whatever state the test has left it in.
 */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MockFrontEnd, type MockFrontEndOptions } from './mock-frontend.ts';
import { VhostUserClient } from './vhost-user-client.ts';
import { type Ended, type VloopOptions, VloopProcess } from './vloop-process.ts';

/** From the end of a process to the event of it, on a busy machine. */
const DEATH_IS_TOLD_MS = 500;

export interface ServedDiskOptions {
  readonly sizeBytes?: number;
  readonly content?: Uint8Array;
  readonly args?: readonly string[];
  /** Where the scratch directory is made. */
  readonly parent?: string;
}

export class ServedDisk {
  readonly directory: string;
  readonly image: string;
  readonly socket: string;
  #vloop: VloopProcess | null = null;
  readonly #frontEnds: Array<{ close(): void }> = [];

  constructor({ sizeBytes = 16 * 2 ** 20, content, parent = tmpdir() }: ServedDiskOptions = {}) {
    this.directory = mkdtempSync(join(parent, 'vloop-test-'));
    this.image = join(this.directory, 'disk.img');
    this.socket = join(this.directory, 's');
    writeFileSync(this.image, content ?? new Uint8Array(0));
    if (content === undefined) truncateSync(this.image, sizeBytes);
  }

  static async serve(options: ServedDiskOptions = {}): Promise<ServedDisk> {
    const disk = new ServedDisk(options);
    try {
      await disk.startVloop(options.args);
      return disk;
    } catch (error) {
      await disk.close();
      throw error;
    }
  }

  get vloop(): VloopProcess {
    if (this.#vloop === null) throw new Error('vloop has not been started');
    return this.#vloop;
  }

  async startVloop(args: readonly string[] = [], more: Partial<VloopOptions> = {}): Promise<void> {
    const conventions = [`--blk-file=${this.image}`, `--socket-path=${this.socket}`];
    this.#vloop = await VloopProcess.serving({ args: [...conventions, ...args], ...more });
  }

  async connect(options: MockFrontEndOptions = {}): Promise<MockFrontEnd> {
    const frontEnd = await MockFrontEnd.start(this.socket, options).catch(async (error: Error) => {
      // Its end may be on its way.
      await sleep(DEATH_IS_TOLD_MS);
      const said = this.#vloop?.stderr.trimEnd().split('\n').slice(-3).join('\n');
      throw new Error(`${error.message}; vloop ${this.#vloop?.fate ?? 'is not started'}: ${said}`);
    });
    this.#frontEnds.push(frontEnd);
    return frontEnd;
  }

  /** A front-end that has said nothing yet. */
  async connectSilently(options: MockFrontEndOptions = {}): Promise<MockFrontEnd> {
    const frontEnd = new MockFrontEnd(await VhostUserClient.connect(this.socket), options);
    this.#frontEnds.push(frontEnd);
    return frontEnd;
  }

  /** Closed at the end with everything else. */
  own<T extends { close(): void }>(thing: T): T {
    this.#frontEnds.push(thing);
    return thing;
  }

  imageBytes(): Buffer {
    return readFileSync(this.image);
  }

  async stopVloop(): Promise<Ended> {
    return await this.vloop.end();
  }

  async close(): Promise<void> {
    for (const frontEnd of this.#frontEnds.splice(0)) frontEnd.close();
    await this.#vloop?.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
