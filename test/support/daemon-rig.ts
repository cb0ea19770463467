/**
 * A run directory of a test's own with a daemon and disks in it. `close` ends them all, whoever has started them:
 * disks outlive their daemon, and the file names of their control sockets are their process numbers.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RpcClient } from '../../src/control/rpc-client.ts';
import type { DiskStatus } from '../../src/control/schema/disk-status.ts';
import { MockFrontEnd, type MockFrontEndOptions } from './mock-frontend.ts';
import { isAlive, killIfAlive } from './process-alive.ts';
import { VloopProcess } from './vloop-process.ts';
import { eventually } from './waiting.ts';

const WAIT_MS = 20_000;

export class DaemonRig {
  readonly directory = mkdtempSync(join(tmpdir(), 'vloop-test-'));
  readonly runDirectory = join(this.directory, 'run');
  readonly env = { VLOOP_RUN_DIR: this.runDirectory };
  #daemon: VloopProcess | null = null;
  readonly #owned: Array<{ close(): void }> = [];

  constructor() {
    mkdirSync(this.runDirectory);
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  image(name: string, content: Uint8Array): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  get daemon(): VloopProcess {
    if (this.#daemon === null) throw new Error('no daemon has been started');
    return this.#daemon;
  }

  /** A daemon that takes commands. */
  async startDaemon(
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Promise<VloopProcess> {
    this.#daemon = new VloopProcess({ args: ['daemon', ...args], env: { ...this.env, ...env } });
    await this.#daemon.logged('the daemon takes commands');
    return this.#daemon;
  }

  async rpc(name: string | number = 'daemon'): Promise<RpcClient> {
    return this.own(await RpcClient.connect(join(this.runDirectory, `${name}.ctl`)));
  }

  /** The daemon's events from now on; the list grows. */
  async events(): Promise<Array<{ readonly name: string; readonly disk: unknown }>> {
    const heard: Array<{ readonly name: string; readonly disk: unknown }> = [];
    const rpc = await this.rpc();
    rpc.onEvent = (name, params) => heard.push({ name, disk: (params as { disk?: string }).disk });
    await rpc.call('subscribe', {});
    return heard;
  }

  /** A process that serves by itself; it is killed with the rest. */
  async serving(args: readonly string[]): Promise<{ pid: number; close(): void }> {
    const vloop = await VloopProcess.serving({ args, env: this.env });
    return { pid: vloop.pid, close: () => vloop.signal('SIGKILL') };
  }

  /** Runs a command to its end. */
  async run(...args: readonly string[]) {
    const vloop = new VloopProcess({ args, env: this.env });
    const { status } = await vloop.end(null);
    return { status, stdout: vloop.stdout, stderr: vloop.stderr };
  }

  async frontEnd(disk: DiskStatus, options: MockFrontEndOptions = {}): Promise<MockFrontEnd> {
    return this.own(await MockFrontEnd.start(disk.socket!, options));
  }

  own<T extends { close(): void }>(thing: T): T {
    this.#owned.push(thing);
    return thing;
  }

  /** The processes of disks whose control sockets are there. */
  pids(): number[] {
    if (!existsSync(this.runDirectory)) return [];
    const names = readdirSync(this.runDirectory);
    return names.flatMap((name) => /^(\d+)\.ctl$/.exec(name)?.[1] ?? []).map(Number);
  }

  /** A process that has been told to end, or was killed. */
  async gone(pid: number): Promise<void> {
    await eventually(`end of process ${pid}`, WAIT_MS, () => !isAlive(pid) || undefined);
  }

  /** The disk once it has another process than `pid`. */
  async anew(rpc: RpcClient, name: string, pid: number): Promise<DiskStatus> {
    return await eventually(
      () => `new process of ${name}; the daemon said: ${this.daemon.stderr}`,
      WAIT_MS,
      async () => {
        const disks = await rpc.call('disk_list', {});
        return disks.find((disk) => disk.name === name && disk.pid !== pid);
      },
    );
  }

  async close(): Promise<void> {
    for (const thing of this.#owned.splice(0)) thing.close();
    await this.#daemon?.kill();
    for (const pid of this.pids().filter(isAlive)) {
      killIfAlive(pid);
      await this.gone(pid);
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}
