/**
 * The successor's side of a hand-over: what comes from the process that served so far, instead of opening
 * and listening. Everything is made ready first; nothing is served, answered or removed before that process
 * has said `commit`. When it does not come to that, this process ends and has changed nothing.
 */
import { closeSync } from 'node:fs';
import type { Log } from '../log.ts';
import type { Server, ServerSocket, TakenServer } from '../vhost-user/server.ts';
import { STATE_VERSION } from '../worker/session-state.ts';
import type { AdoptedFile, OpenDisk } from './disk.ts';
import { HandOverError, HandOverLink, type Step } from './hand-over-link.ts';
import {
  monotonicNs,
  type OpenStep,
  type PlainStep,
  type SessionStep,
  type StartStep,
  TAKE_OVER_VARIABLE,
} from './hand-over-steps.ts';

/** The old process has limits of its own, which are shorter: this one only ends a wait for nothing. */
const STEP_LIMIT_MS = 20_000;

/** Makes a server that is held until its front-end may be served here. */
export type MakeServer = (index: number, socket: ServerSocket, taken: TakenServer) => Server;

export class TakeOver {
  /** The files of the disks, in the order of the command line. */
  readonly files: readonly AdoptedFile[];
  readonly #link: HandOverLink;

  private constructor(link: HandOverLink, files: readonly AdoptedFile[]) {
    this.#link = link;
    this.files = files;
  }

  /** Null: this process was started to serve by itself. Throws HandOverError. */
  static async begin(diskCount: number): Promise<TakeOver | null> {
    const fd = process.env[TAKE_OVER_VARIABLE];
    if (fd === undefined) return null;
    delete process.env[TAKE_OVER_VARIABLE];
    const link = new HandOverLink(Number(fd));
    const { version, disks } = await link.expect<OpenStep>('open', STEP_LIMIT_MS);
    const takeOver = new TakeOver(link, disks);
    if (version !== STATE_VERSION) {
      await takeOver.refuse(`state version ${version}, this program knows ${STATE_VERSION}`);
    }
    if (disks.length !== diskCount) {
      await takeOver.refuse(`${disks.length} disks, the command line has ${diskCount}`);
    }
    return takeOver;
  }

  /** Tells the old process why it has to carry on, if it is still there. Always throws. */
  async refuse(cause: unknown): Promise<never> {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const step: Step & { reason: string } = { step: 'refused', reason };
    await this.#link.send(step, STEP_LIMIT_MS).catch(() => {});
    throw new HandOverError(`not taken over: ${reason}`, { cause });
  }

  /** To the end: afterwards the servers are this process's, and serve. Throws HandOverError. */
  async run(opened: readonly OpenDisk[], make: MakeServer, log: Log): Promise<Server[]> {
    const link = this.#link;
    await link.send({ step: 'ready', version: STATE_VERSION } as Step, STEP_LIMIT_MS);
    const { disks } = await link.expect<SessionStep>('session', STEP_LIMIT_MS);
    const servers = await this.#prepare(disks, opened, make);
    await link.send({ step: 'prepared' } satisfies PlainStep, STEP_LIMIT_MS);
    const start = await link.expect<StartStep>('start', STEP_LIMIT_MS);
    await this.#start(start, opened, servers);
    await link.send({ step: 'taking' } satisfies PlainStep, STEP_LIMIT_MS);
    await link.expect<PlainStep>('commit', STEP_LIMIT_MS);
    for (const server of servers) await server.connection?.session.unpause();
    const servedAtNs = monotonicNs();
    for (const server of servers) server.release();
    link.close();
    log.info(
      {
        predecessor: process.ppid,
        drainUs: Math.round((start.drainedAtNs - start.pausedAtNs) / 1000),
        pauseUs: Math.round((servedAtNs - start.pausedAtNs) / 1000),
      },
      'took over from another process',
    );
    return servers;
  }

  /** Maps the memory, and knows all that the front-end has said. */
  async #prepare(
    disks: SessionStep['disks'],
    opened: readonly OpenDisk[],
    make: MakeServer,
  ): Promise<Server[]> {
    const servers: Server[] = [];
    for (const [i, { socket, server, disk, session }] of disks.entries()) {
      const fd = socket.kind === 'connected' ? server.fd : socket.fd;
      const made = make(i, { ...socket, fd }, server);
      servers.push(made);
      const refusal =
        (await opened[i]!.disk.adopt(disk)) ??
        (session === null ? null : await made.connection!.session.adopt(session));
      if (refusal !== null) throw new HandOverError(refusal);
      for (const { fd: borrowed } of disk.regions) closeSync(borrowed);
      for (const part of [disk.inflight, disk.log]) if (part !== null) closeSync(part.fd);
    }
    return servers;
  }

  async #start(
    { disks }: StartStep,
    opened: readonly OpenDisk[],
    servers: readonly Server[],
  ): Promise<void> {
    for (const [i, stand] of disks.entries()) {
      opened[i]!.disk.continueFrom(stand);
      const refusal = (await servers[i]!.connection?.session.startPaused(stand.vrings)) ?? null;
      if (refusal !== null) throw new HandOverError(refusal);
    }
  }
}
