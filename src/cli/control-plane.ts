/**
 * How the disks of a process are controlled: its control socket, and its page when one is asked for. Both are
 * opened before the first disk is served and closed after the last; the disks that they show come in between.
 */
import type { ControlTarget } from '../control/controlled-disk.ts';
import type { EventHub } from '../control/event-hub.ts';
import type { HttpListener } from '../control/http-server.ts';
import type { Log } from '../log.ts';
import { SocketError } from '../vhost-user/server.ts';
import { ControlSocket } from './control-socket.ts';
import { controlledDisk } from './disk-control.ts';
import { openPage, pageLine } from './http-page.ts';
import type { ServeOptions } from './options.ts';
import type { ServedDisk } from './served-disk.ts';
import { version } from './version.ts';

export class ControlPlane {
  #socket: ControlSocket | null = null;
  #page: HttpListener | null = null;

  /**
   * Takes commands for `disks`, those to come included. `inherits`: the process that was before this one has just
   * handed over, and may hold its addresses for another moment. Throws SocketError for what was asked for.
   */
  async open(
    { control, http }: ServeOptions,
    disks: readonly ServedDisk[],
    events: EventHub,
    log: Log,
    inherits: boolean,
  ): Promise<void> {
    const target: ControlTarget = {
      version: version(),
      pid: process.pid,
      http: () => this.#page?.url ?? null,
      events,
      disks: () => disks.filter(({ server }) => !server.closed).map(controlledDisk),
    };
    this.#socket = control === 'off' ? null : openSocket(control, target, log);
    if (http === null) return;
    const { dispatchTo } = await import('../control/dispatch.ts');
    this.#page = await openPage(http, dispatchTo(target), log, inherits);
  }

  /** What is printed of the page; empty: there is none. */
  get pageLine(): string {
    return this.#page === null ? '' : `${pageLine(this.#page)}\n`;
  }

  /** Who is connected is cut off. */
  close(): void {
    this.#socket?.close();
    void this.#page?.close();
  }
}

/** Null: the run directory cannot be used, which is no reason not to serve. */
function openSocket(path: string | null, target: ControlTarget, log: Log): ControlSocket | null {
  try {
    return new ControlSocket(path, target, log);
  } catch (error) {
    if (path !== null || !(error instanceof SocketError)) throw error;
    log.warn({ reason: error.message }, 'no commands are taken; --control=PATH says where else');
    return null;
  }
}
