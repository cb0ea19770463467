/**
 * SIGUSR2: this process starts its successor and hands its disks over, sessions and all; see
 * hand-over-steps.ts. Until the successor has everything but the word to go, this one can carry on, and does
 * so when anything fails or takes too long.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoName } from '../../protocol/errno.ts';
import type { Log } from '../log.ts';
import { closeFile } from '../sys/block-file.ts';
import { exitNow } from '../sys/process.ts';
import { socketPair } from '../sys/unix-socket.ts';
import type { Server } from '../vhost-user/server.ts';
import type { Session } from '../vhost-user/session.ts';
import { type DiskStand, STATE_VERSION } from '../worker/session-state.ts';
import type { OpenDisk } from './disk.ts';
import { HandOverError, HandOverLink } from './hand-over-link.ts';
import {
  monotonicNs,
  type OpenStep,
  type PlainStep,
  type ReadyStep,
  type SessionStep,
  type StartStep,
  TAKE_OVER_VARIABLE,
} from './hand-over-steps.ts';

/** A successor that starts cold on a loaded machine. Nothing stands still meanwhile. */
const READY_LIMIT_MS = 15_000;
/** From here on the front-end's messages wait: QEMU may hold its own lock over one. */
const HOLD_LIMIT_MS = 2000;
const PREPARED_LIMIT_MS = 2000;
/** From here on requests wait; the guest's own limits are tens of seconds. */
const DRAIN_LIMIT_MS = 2000;
const TAKING_LIMIT_MS = 2000;
const KILL_LIMIT_MS = 1000;

/** The successor's end of the socket in its own numbering, after its three standard streams. */
const LINK_FD = 3;

interface HandedDisk {
  readonly open: OpenDisk;
  readonly server: Server;
}

/** Hands over with every SIGUSR2. `disks` grows while the process starts. */
export class HandOver {
  readonly #disks: readonly HandedDisk[];
  readonly #diskCount: number;
  readonly #program: string | null;
  readonly #log: Log;
  readonly #onHandedOver: (successor: number) => void;
  #child: ChildProcess | null = null;

  /**
   * `program`: what to start; null: this program, as it is on disk now. `onHandedOver`: the last that this process
   * does before the successor goes on.
   */
  constructor(
    disks: readonly HandedDisk[],
    diskCount: number,
    program: string | null,
    log: Log,
    onHandedOver: (successor: number) => void,
  ) {
    this.#disks = disks;
    this.#diskCount = diskCount;
    this.#program = program;
    this.#log = log;
    this.#onHandedOver = onHandedOver;
    process.on('SIGUSR2', () => void this.#onSignal());
  }

  /** This process ends for another reason: a hand-over that is under way fails. */
  abort(): void {
    this.#child?.kill('SIGKILL');
  }

  async #onSignal(): Promise<void> {
    const refusal = this.#refusal();
    if (refusal !== null) {
      this.#log.warn({ reason: refusal }, 'no hand-over: this process carries on');
      return;
    }
    const ends = socketPair();
    if (typeof ends === 'number') {
      this.#log.error({ error: errnoName(ends) }, 'no hand-over: this process carries on');
      return;
    }
    const child = this.#start(ends[1]);
    this.#child = child;
    closeFile(ends[1]);
    const link = new HandOverLink(ends[0]);
    try {
      await this.#run(link, child);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      await this.#carryOn(child);
      this.#log.error(
        { reason, successor: child.pid },
        'hand-over failed: this process carries on',
      );
      if (!(error instanceof HandOverError)) throw error;
    } finally {
      link.close();
      this.#child = null;
    }
  }

  #refusal(): string | null {
    if (this.#child !== null) return 'one is under way';
    if (this.#disks.length < this.#diskCount) return 'this process has not started yet';
    if (this.#disks.some(({ open }) => open.backing === null)) {
      return 'a disk in memory belongs to its process';
    }
    if (this.#disks.some(({ open }) => open.disk.freeze.quiesced)) {
      return 'a disk is quiesced, or being changed';
    }
    return null;
  }

  #start(linkFd: number): ChildProcess {
    const [script = '', ...args] = process.argv.slice(1);
    const [command, words] =
      this.#program === null
        ? [process.execPath, [...process.execArgv, script, ...args]]
        : [this.#program, args];
    const child = spawn(command, words, {
      stdio: ['inherit', 'inherit', 'inherit', linkFd],
      env: { ...process.env, [TAKE_OVER_VARIABLE]: String(LINK_FD) },
    });
    // A program that cannot be started closes the socket; that is how the hand-over learns of it.
    child.on('error', (error) => this.#log.error({ error: error.message }, 'cannot start'));
    return child;
  }

  async #run(link: HandOverLink, child: ChildProcess): Promise<void> {
    const disks = this.#disks;
    const opened = disks.map(({ open: { backing, disk, transfer } }) => ({
      backing: backing!,
      shape: disk.shape,
      transfer: transfer && { name: transfer.name, keyFd: transfer.birth.keyFd },
    }));
    const open: OpenStep = { step: 'open', version: STATE_VERSION, disks: opened };
    await link.send(open, READY_LIMIT_MS);
    await link.expect<ReadyStep>('ready', READY_LIMIT_MS);
    await this.#hold();
    await link.send(this.#sessions(), PREPARED_LIMIT_MS);
    await link.expect<PlainStep>('prepared', PREPARED_LIMIT_MS);
    const pausedAtNs = monotonicNs();
    const stands = await this.#pause();
    stands.forEach(({ shape }, i) => {
      if (shape === opened[i]!.shape) return;
      throw new HandOverError('the disk was changed meanwhile: ask again');
    });
    const start: StartStep = {
      step: 'start',
      pausedAtNs,
      drainedAtNs: monotonicNs(),
      disks: stands,
    };
    await link.send(start, TAKING_LIMIT_MS);
    await link.expect<PlainStep>('taking', TAKING_LIMIT_MS);
    this.#log.info({ successor: child.pid }, 'handed over: this process ends');
    this.#onHandedOver(child.pid!);
    // The word itself: from here on everything is the successor's, and nothing here may touch it.
    await link.send({ step: 'commit' } satisfies PlainStep, 0);
    exitNow(0);
  }

  /** No front-end is accepted and no message read any more. */
  async #hold(): Promise<void> {
    // First what the back-end itself has asked, whose answers need messages to be read (an IOTLB update).
    const running = this.#disks.map(({ server }) => server.connection?.session ?? null);
    for (const session of running) session?.quiesce(true);
    await unpinned(running);
    const held = Promise.all(
      this.#disks.map(async ({ server }) => (await server.hold())?.session ?? null),
    );
    const sessions = await limited(held, HOLD_LIMIT_MS, 'end of the front-end’s message');
    await unpinned(sessions);
  }

  #sessions(): SessionStep {
    const disks = this.#disks.map(({ open, server }) => {
      const { socket, taken, connection } = server;
      // A socket that came connected is its connection: it crosses once.
      const fd = socket.kind === 'connected' ? -1 : socket.fd;
      return {
        socket: { ...socket, fd },
        server: taken,
        disk: open.disk.state(),
        session: connection?.session.state() ?? null,
      };
    });
    return { step: 'session', disks };
  }

  async #pause(): Promise<DiskStand[]> {
    const paused = Promise.all(this.#disks.map(({ open }) => open.disk.handOver()));
    const stands = await limited(paused, DRAIN_LIMIT_MS, 'end of the requests in flight');
    return stands.map((stand) => {
      if (typeof stand === 'string') throw new HandOverError(stand);
      return stand;
    });
  }

  /** Whatever has been stopped goes on, once the successor can touch nothing any more. */
  async #carryOn(child: ChildProcess): Promise<void> {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await Promise.race([gone, sleep(KILL_LIMIT_MS)]);
    }
    for (const { open, server } of this.#disks) {
      await open.disk.freeze.thaw();
      server.connection?.session.quiesce(false);
      server.release();
    }
  }
}

/** Waits until nothing keeps a session where it is. */
async function unpinned(sessions: ReadonlyArray<Session | null>): Promise<void> {
  const deadline = performance.now() + HOLD_LIMIT_MS;
  for (;;) {
    const pinned = sessions.map((session) => session?.pinned ?? null).find((why) => why !== null);
    if (pinned === undefined) return;
    if (performance.now() > deadline) throw new HandOverError(pinned);
    await sleep(5);
  }
}

async function limited<T>(promise: Promise<T>, limitMs: number, what: string): Promise<T> {
  const abort = new AbortController();
  const late = sleep(limitMs, null, { signal: abort.signal }).then(() => {
    throw new HandOverError(`no ${what} within ${limitMs} ms`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    abort.abort();
  }
}
