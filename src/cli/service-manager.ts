/**
 * This process as a service of systemd (or whoever speaks its protocol): sockets that are passed at the start, and
 * sd_notify(3). Without NOTIFY_SOCKET and LISTEN_FDS in the environment it does nothing.
 */

import { errnoName } from '../../protocol/errno.ts';
import type { Log } from '../log.ts';
import { sendDatagram } from '../sys/datagram.ts';
import { closeOnExec } from '../sys/descriptor.ts';
import { passedSockets, socketsOfDisks } from './service-sockets.ts';

/** Which variables are for this process alone: its children are no services. */
const SOCKET_VARIABLES = ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID'] as const;

/** Says something to the service manager. `socket`: its address, as in NOTIFY_SOCKET. */
export class ServiceManager {
  readonly #socket: string | undefined;
  readonly #log: Log;

  constructor(log: Log, socket = process.env['NOTIFY_SOCKET']) {
    this.#socket = socket === '' ? undefined : socket;
    this.#log = log;
  }

  /** For a process whose children are no services: one that said READY would be taken for its main process. */
  static withoutChildren(log: Log): ServiceManager {
    const service = new ServiceManager(log);
    delete process.env['NOTIFY_SOCKET'];
    return service;
  }

  /** Serving: `status` is what `systemctl status` shows. */
  ready(status: string): void {
    this.#say(`READY=1\nMAINPID=${process.pid}\nSTATUS=${oneLine(status)}`);
  }

  stopping(status = 'ending: running requests complete first'): void {
    this.#say(`STOPPING=1\nSTATUS=${status}`);
  }

  /** Another process is the service from now on; this one ends. */
  handedOverTo(pid: number): void {
    this.#say(`MAINPID=${pid}\nSTATUS=handed over to process ${pid}`);
  }

  #say(text: string): void {
    if (this.#socket === undefined) return;
    const result = sendDatagram(this.#socket, text);
    if (result === 0) return;
    const fields = { socket: this.#socket, error: errnoName(result) };
    this.#log.warn(fields, 'the service manager cannot be told (NOTIFY_SOCKET)');
  }
}

/** A line break would begin another assignment. */
const oneLine = (text: string) => text.replace(/\s+/g, ' ');

interface SocketOfDisk {
  readonly fd: number | null;
}

/**
 * `disks` with the sockets that were passed for them, which they take before any path of the command line: a unit's
 * command line is the same with and without a socket unit. Throws SocketError.
 */
export function withPassedSockets<T extends SocketOfDisk>(
  disks: readonly T[],
  names: readonly string[],
): readonly T[] {
  const sockets = passedSockets(process.env, process.pid);
  for (const name of SOCKET_VARIABLES) delete process.env[name];
  if (sockets.length === 0 || disks.some(({ fd }) => fd !== null)) return disks;
  const fds = socketsOfDisks(sockets, names);
  for (const fd of fds) closeOnExec(fd);
  return disks.map((disk, i) => ({ ...disk, fd: fds[i]! }));
}
