/**
 * SET_LOG_BASE and SET_LOG_FD: where a migrating front-end wants to read which pages of guest memory were
 * written. May come at any time, while vrings run too. Source: vhost-user.rst, "Migration".
 */

import { vhostUserMessages as M } from '../../protocol/vhost-user-messages.ts';
import { vhostUserLog } from '../../protocol/vhost-user-payloads.ts';
import { encodeU64Reply } from './message-encoder.ts';
import { ProtocolError, refuseWith } from './protocol-error.ts';
import type { SessionPort } from './session-port.ts';
import type { SessionVrings } from './session-vrings.ts';

export class SessionLog {
  readonly #port: SessionPort;
  readonly #vrings: SessionVrings;
  #eventFd = -1;

  constructor(port: SessionPort, vrings: SessionVrings) {
    this.#port = port;
    this.#vrings = vrings;
  }

  /**
   * Always answered, with a u64 as libvhost-user's is. 0, because others read it as a status. QEMU does
   * not: a log that is refused ends the session, or it would migrate a machine whose writes nobody logs.
   */
  async setBase(payload: DataView, fd: number): Promise<Uint8Array> {
    const row = M.SET_LOG_BASE;
    const place = {
      sizeBytes: Number(payload.getBigUint64(vhostUserLog.at.mmap_size, true)),
      mmapOffset: Number(payload.getBigUint64(vhostUserLog.at.mmap_offset, true)),
    };
    refuseWith(row, await this.#port.disk.setLog(place, fd, this.#vrings.loggedEnd));
    return encodeU64Reply(row.code, 0n);
  }

  /** For another process. */
  get eventFd(): number {
    return this.#eventFd;
  }

  /** On the other side: owns the fd from here on. */
  async adopt(eventFd: number): Promise<void> {
    this.#eventFd = eventFd;
    await this.#port.disk.setLogEventFd(eventFd);
  }

  /** Takes the fd out of `fds`. */
  async setEventFd(fds: number[]): Promise<null> {
    if (!this.#port.adoptEventfd(fds[0]!)) {
      throw new ProtocolError(`${M.SET_LOG_FD.name}: the file descriptor is not an eventfd`);
    }
    const old = this.#eventFd;
    this.#eventFd = fds.shift()!;
    await this.#port.disk.setLogEventFd(this.#eventFd);
    this.#close(old);
    return null;
  }

  /** The disk has been reset: nobody signals any more. */
  closeFds(): void {
    this.#close(this.#eventFd);
    this.#eventFd = -1;
  }

  #close(fd: number): void {
    if (fd >= 0) this.#port.closeFd(fd);
  }
}
