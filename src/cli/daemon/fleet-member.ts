/**
 * A disk process that a daemon looks after: when its control connection ends, what has become of it — ended on
 * purpose, handed over to a successor (live upgrade), or crashed — and in the last case a new process on the same
 * socket, so that the front-end connects again and requests in flight are taken up.
 */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ControlErrorCode } from '../../control/controlled-disk.ts';
import { RpcClient } from '../../control/rpc-client.ts';
import type { DiskConfig } from '../../control/schema/disk-config.ts';
import { EVENT_NAMES, EVENTS_LOST, type EventName } from '../../control/schema/events.ts';
import type { Log } from '../../log.ts';
import { startDetached } from '../detached-disk.ts';
import { type DiskEnd, DiskStartError, endInWords } from '../disk-process.ts';
import { RestartDelays } from '../restart-delays.ts';
import { controlPath } from '../run-directory.ts';
import { closeAll, scanDisks } from './scan.ts';

/** From the old process's end to the successor's control socket. */
const SUCCESSOR_LIMIT_MS = 5000;
const LOOK_EVERY_MS = 50;

export interface MemberEvents {
  /** It has another process, or other settings. */
  onChange(): void;
  /** It is no member any more. */
  onEnd(): void;
  onEvent: EmitEvent;
}

export type EmitEvent = (name: EventName, more?: Readonly<Record<string, unknown>>) => void;

/** A process that has the disk now. */
interface Process {
  readonly client: RpcClient;
  readonly pid: number;
  /** Null: it is not this process's child. */
  readonly ended: Promise<DiskEnd> | null;
}

export class FleetMember {
  readonly name: string;
  readonly socketPath: string;
  config: DiskConfig;
  readonly #directory: string;
  readonly #log: Log;
  readonly #events: MemberEvents;
  readonly #delays = new RestartDelays();
  readonly #leaving = new AbortController();
  #process: Process | null = null;
  /** Changes that its process has begun, and how many of them `config` knows. */
  #changesBegun = 0;
  #changesKnown = 0;

  /** `config` names the disk and its socket, and its paths are absolute. */
  constructor(config: DiskConfig, directory: string, log: Log, events: MemberEvents) {
    this.config = config;
    this.name = String(config['name']);
    this.socketPath = String(config['socket_path']);
    this.#directory = directory;
    this.#log = log.child({ disk: this.name });
    this.#events = events;
  }

  /** Null: its process has died, and there is no new one yet. */
  get client(): RpcClient | null {
    return this.#process?.client ?? null;
  }

  get pid(): number | null {
    return this.#process?.pid ?? null;
  }

  /** Starts it. Throws DiskStartError. */
  async start(): Promise<void> {
    const { pid, ended } = await startDetached(this.config, this.#directory);
    const client = await RpcClient.connect(controlPath(this.#directory, pid));
    this.#take({ client, pid, ended });
  }

  /** A process that another daemon has started, or that has taken the disk over, if there is one. */
  async adopt(): Promise<boolean> {
    const disks = await scanDisks(this.#directory);
    const found = disks.find(({ status }) => status.socket === this.socketPath);
    closeAll(disks.filter((disk) => disk.client !== found?.client));
    if (found === undefined) return false;
    this.#take({ client: found.client, pid: found.status.pid, ended: null });
    return true;
  }

  #take(taken: Process): void {
    this.#process = taken;
    taken.client.onEvent = (method, params) => this.#pass(method, params);
    // A process that dies meanwhile is seen by `watch`.
    taken.client.call('subscribe', {}).catch(() => {});
    this.#events.onChange();
  }

  /** What has been changed at run time is there after a crash, too. */
  async learn(): Promise<void> {
    const begun = this.#changesBegun;
    const { client } = this;
    try {
      const config = await client?.call('disk_get_config', { disk: this.name });
      if (config === undefined) return;
      // The socket is where it was, whatever the disk makes of the path.
      this.config = { ...config, name: this.name, socket_path: this.socketPath };
      this.#changesKnown = begun;
      this.#events.onChange();
    } catch {
      // It has just been told to end, or has died: `watch` sees to it.
    }
  }

  /** Coming and going is told here: a process that dies does not say so. */
  #pass(method: string, params: unknown): void {
    // Whatever it was: the configuration says what has come of it.
    if (method === EVENTS_LOST) void this.learn();
    if (!EVENT_NAMES.includes(method as EventName)) return;
    if (method === 'disk_attached' || method === 'disk_detached') return;
    if (method === 'disk_changing') this.#changesBegun++;
    else if (method === 'disk_changed') void this.learn();
    const { disk: _, ...more } = params as Readonly<Record<string, unknown>>;
    this.#events.onEvent(method as EventName, more);
  }

  /** Looks after it until it ends or `leave` is called. The process that it has, or none when it has crashed. */
  async watch(): Promise<void> {
    for (;;) {
      if (this.#process === null) {
        if (!(await this.#startAgain('was not there any more', 0))) break;
        continue;
      }
      const startedMs = performance.now();
      const { client, ended } = this.#process;
      await client.gone;
      if (this.#leaving.signal.aborted) return;
      this.#process = null;
      const fate = await this.#fate(ended, client.path);
      if (this.#leaving.signal.aborted) return;
      if (fate === 'ended') {
        this.#log.info('the disk has ended');
        break;
      }
      if (fate === 'handed over') continue;
      this.#events.onEvent('disk_detached');
      const livedMs = performance.now() - startedMs;
      if (!(await this.#startAgain(fate, livedMs))) break;
    }
    if (this.#leaving.signal.aborted) return;
    this.#events.onEvent('disk_detached');
    this.#events.onEnd();
  }

  /** It is looked after no more; its process stays. */
  leave(): void {
    this.#leaving.abort();
    this.#process?.client.close();
  }

  /** Ends it. */
  async end(): Promise<void> {
    const { client, pid } = this.#process ?? { client: null, pid: 0 };
    this.#leaving.abort();
    if (client === null) return;
    process.kill(pid, 'SIGTERM');
    await client.gone;
  }

  /** What became of a process whose connection has ended; a crash in words. */
  async #fate(ended: Promise<DiskEnd> | null, controlSocket: string): Promise<string> {
    const end = ended === null ? null : await ended;
    if (end !== null && end.status !== 0) return endInWords(end);
    // Left behind: it had no time to remove it.
    if (end === null && existsSync(controlSocket)) return 'has gone';
    const deadline = performance.now() + SUCCESSOR_LIMIT_MS;
    while (!this.#leaving.signal.aborted && performance.now() < deadline) {
      // Whoever ends in order removes the socket; a successor has it.
      if (!existsSync(this.socketPath)) return 'ended';
      if (await this.adopt()) return 'handed over';
      await this.#pause(LOOK_EVERY_MS);
    }
    return 'has gone';
  }

  /** False: given up, or it is to be left. */
  async #startAgain(fate: string, livedMs: number): Promise<boolean> {
    if (this.config['memory'] !== undefined) {
      this.#log.error({ fate }, 'the disk process died, and what was in its memory with it');
      return false;
    }
    if (this.#changesKnown < this.#changesBegun) {
      this.#log.error(
        { fate },
        'the disk process died while its settings or its file changed: attach the disk anew with those that it shall have',
      );
      return false;
    }
    let lived = livedMs;
    for (;;) {
      const waitMs = this.#delays.next(lived);
      if (waitMs === null) {
        this.#log.error({ fate }, 'the disk process died again and again: given up');
        return false;
      }
      await this.#pause(waitMs);
      if (this.#leaving.signal.aborted) return false;
      try {
        if (!(await this.adopt())) await this.start();
        this.#log.warn({ fate, pid: this.pid }, 'the disk process died: started again');
        this.#events.onEvent('disk_attached');
        return true;
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        this.#log.error({ fate, reason }, 'the disk process died, and cannot be started again yet');
        if (!(error instanceof DiskStartError) && !isGone(error)) throw error;
        lived = 0;
      }
    }
  }

  async #pause(milliseconds: number): Promise<void> {
    await sleep(milliseconds, null, { signal: this.#leaving.signal }).catch(() => {});
  }
}

/** A connection that failed because the process is not there. */
function isGone(error: unknown): boolean {
  const gone: readonly string[] = ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'ENODEV'];
  return gone.includes((error as { code?: ControlErrorCode }).code ?? '');
}
