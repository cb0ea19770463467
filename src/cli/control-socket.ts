/**
 * The control socket of a process that serves disks. Until the first client comes it is a descriptor that is
 * watched, and nothing of the control plane is loaded: a disk that nobody asks anything costs no memory for it.
 */
import { chmodSync, rmSync } from 'node:fs';
import type { Server } from 'node:net';
import type { ControlTarget } from '../control/controlled-disk.ts';
import type { Log } from '../log.ts';
import { type FdWatch, watchReadable } from '../sys/poll.ts';
import { closeSocket, listenOn, type ServerSocket } from '../vhost-user/server.ts';
import { controlPath, makeRunDirectory } from './run-directory.ts';

export class ControlSocket {
  readonly path: string;
  readonly #socket: ServerSocket;
  readonly #target: ControlTarget;
  readonly #log: Log;
  readonly #watch: FdWatch;
  #server: Server | null = null;
  #closed = false;

  /** Listens at `path`; null: in the run directory, under the process's number. Throws SocketError. */
  constructor(path: string | null, target: ControlTarget, log: Log) {
    this.path = path ?? controlPath(makeRunDirectory(), process.pid);
    this.#socket = listenOn(this.path);
    chmodSync(this.path, 0o600);
    this.#target = target;
    this.#log = log;
    this.#watch = watchReadable(this.#socket.fd, () => void this.#serve());
  }

  /** Removes the socket file; who is connected is cut off with the process. */
  close(): void {
    this.#closed = true;
    this.#watch.stop();
    if (this.#server === null) {
      closeSocket(this.#socket);
    } else {
      this.#server.close();
      rmSync(this.path, { force: true });
    }
  }

  async #serve(): Promise<void> {
    this.#watch.stop();
    try {
      const { controlServer } = await import('../control/control-server.ts');
      // The descriptor may be somebody else's by now.
      if (!this.#closed) this.#server = controlServer(this.#socket.fd, this.#target);
    } catch (error) {
      this.#log.error({ error: String(error) }, 'commands cannot be taken');
    }
  }
}
