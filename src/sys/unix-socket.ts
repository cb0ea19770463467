/**
 * Unix stream sockets with file descriptors in their ancillary data (SCM_RIGHTS), which Node's own
 * sockets cannot receive. Everything is non-blocking, whatever the flags of a received socket are (its
 * sender may still change them); waiting is src/sys/poll.ts.
 */
import { closeSync } from 'node:fs';
import {
  AF_UNIX,
  cmsghdr,
  EAGAIN,
  iovec,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  msghdr,
  SCM_RIGHTS,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  UNIX_PATH_MAX,
} from '../../protocol/linux.ts';
import { declare, FixedBytes, valueOrErrno } from './libc.ts';

const socket = declare('int socket(int, int, int)');
const socketpair = declare('int socketpair(int, int, int, uintptr_t)');
const bind = declare('int bind(int, uintptr_t, unsigned int)');
const listen = declare('int listen(int, int)');
const connect = declare('int connect(int, uintptr_t, unsigned int)');
const accept4 = declare('int accept4(int, uintptr_t, uintptr_t, int)');
const recvmsg = declare('intptr_t recvmsg(int, uintptr_t, int)');
const sendmsg = declare('intptr_t sendmsg(int, uintptr_t, int)');
const getsockopt = declare('int getsockopt(int, int, int, uintptr_t, uintptr_t)');
const fcntl = declare('int fcntl(int, int, intptr_t)');

/** SCM_MAX_FD of the kernel: no sendmsg carries more, so nothing is truncated. */
const SCM_MAX_FD = 253;
const CONTROL_BYTES = cmsghdr.sizeBytes + 4 * SCM_MAX_FD + 4;
const SOCKET_FLAGS = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
const LISTEN_BACKLOG = 16;
const F_SETFL = 4;
const F_GETFL = 3;

/** The longest path that fits a unix socket address, in bytes. */
export const SOCKET_PATH_BYTES_MAX = UNIX_PATH_MAX - 1;

function unixAddress(path: string): FixedBytes {
  const encoded = new TextEncoder().encode(path);
  const address = new FixedBytes(2 + UNIX_PATH_MAX);
  address.view.setUint16(0, AF_UNIX, true);
  address.bytes.set(encoded.subarray(0, SOCKET_PATH_BYTES_MAX), 2);
  return address;
}

/** Two connected sockets, or -errno. */
export function socketPair(): readonly [number, number] | number {
  const fds = new FixedBytes(8);
  const result = valueOrErrno(socketpair(AF_UNIX, SOCKET_FLAGS, 0, fds.address));
  return result < 0 ? result : [fds.view.getInt32(0, true), fds.view.getInt32(4, true)];
}

/** Binds and listens at a path. The fd, or -errno (-EADDRINUSE: something is at the path). */
export function listenAt(path: string): number {
  const fd = valueOrErrno(socket(AF_UNIX, SOCKET_FLAGS, 0));
  if (fd < 0) return fd;
  const address = unixAddress(path);
  let result = valueOrErrno(bind(fd, address.address, address.bytes.length));
  if (result >= 0) result = valueOrErrno(listen(fd, LISTEN_BACKLOG));
  if (result >= 0) return fd;
  closeSync(fd);
  return result;
}

/** Connects to a path. The fd, or -errno (-ECONNREFUSED: nobody listens). */
export function connectTo(path: string): number {
  const fd = valueOrErrno(socket(AF_UNIX, SOCKET_FLAGS, 0));
  if (fd < 0) return fd;
  const address = unixAddress(path);
  const result = valueOrErrno(connect(fd, address.address, address.bytes.length));
  if (result >= 0) return fd;
  closeSync(fd);
  return result;
}

/** A connection's fd, or -errno (-EAGAIN: none is waiting). */
export function acceptConnection(fd: number): number {
  return valueOrErrno(accept4(fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

/** What an inherited fd is; it is made non-blocking. */
export function classifySocket(fd: number): 'listening' | 'connected' | 'not a unix socket' {
  const value = new FixedBytes(4);
  const size = new FixedBytes(4);
  const option = (name: number) => {
    size.view.setUint32(0, 4, true);
    const result = getsockopt(fd, SOL_SOCKET, name, value.address, size.address);
    return result < 0 ? -1 : value.view.getInt32(0, true);
  };
  if (option(SO_DOMAIN) !== AF_UNIX) return 'not a unix socket';
  const flags = fcntl(fd, F_GETFL, 0);
  fcntl(fd, F_SETFL, flags | SOCK_NONBLOCK);
  return option(SO_ACCEPTCONN) === 1 ? 'listening' : 'connected';
}

/** Receives and sends bytes with file descriptors on one socket; its buffers live as long as it. */
export class FdSocket {
  readonly fd: number;
  readonly #message = new FixedBytes(msghdr.sizeBytes);
  readonly #vector = new FixedBytes(iovec.sizeBytes);
  readonly #control = new FixedBytes(CONTROL_BYTES);
  readonly #payload: FixedBytes;

  constructor(fd: number, maxBytes: number) {
    this.fd = fd;
    this.#payload = new FixedBytes(maxBytes);
  }

  /**
   * Receives up to `maxBytes`; fds that come along are added to `fds` and owned by the caller.
   * The bytes (valid until the next call), or -errno; no bytes: the peer has closed.
   */
  receive(maxBytes: number, fds: number[]): Uint8Array | number {
    this.#prepare(maxBytes, CONTROL_BYTES);
    const result = valueOrErrno(
      recvmsg(this.fd, this.#message.address, MSG_CMSG_CLOEXEC | MSG_DONTWAIT),
    );
    if (result < 0) return result;
    this.#collectFds(fds);
    return this.#payload.bytes.subarray(0, result);
  }

  /** Whether the last `receive` lost fds for want of room. */
  get truncated(): boolean {
    return (this.#message.view.getUint32(msghdr.at.msg_flags, true) & MSG_CTRUNC) !== 0;
  }

  /** Sends all of `bytes`, with `fds` on the first. 0, or -errno; -EAGAIN: the peer does not read. */
  send(bytes: Uint8Array, fds: readonly number[] = []): number {
    let sent = 0;
    while (sent < bytes.length) {
      this.#payload.bytes.set(bytes.subarray(sent));
      const controlBytes = sent === 0 && fds.length > 0 ? this.#writeFds(fds) : 0;
      this.#prepare(bytes.length - sent, controlBytes);
      const result = valueOrErrno(
        sendmsg(this.fd, this.#message.address, MSG_NOSIGNAL | MSG_DONTWAIT),
      );
      if (result < 0) return result;
      if (result === 0) return -EAGAIN;
      sent += result;
    }
    return 0;
  }

  #prepare(lengthBytes: number, controlBytes: number): void {
    const set64 = (view: DataView, at: number, value: number) =>
      view.setBigUint64(at, BigInt(value), true);
    set64(this.#vector.view, iovec.at.iov_base, this.#payload.address);
    set64(this.#vector.view, iovec.at.iov_len, lengthBytes);
    const message = this.#message.view;
    this.#message.bytes.fill(0);
    set64(message, msghdr.at.msg_iov, this.#vector.address);
    set64(message, msghdr.at.msg_iovlen, 1);
    set64(message, msghdr.at.msg_control, controlBytes === 0 ? 0 : this.#control.address);
    set64(message, msghdr.at.msg_controllen, controlBytes);
  }

  #collectFds(fds: number[]): void {
    const end = Number(this.#message.view.getBigUint64(msghdr.at.msg_controllen, true));
    const control = this.#control.view;
    let at = 0;
    while (at + cmsghdr.sizeBytes <= end) {
      const length = Number(control.getBigUint64(at + cmsghdr.at.cmsg_len, true));
      if (length < cmsghdr.sizeBytes) return;
      const isRights =
        control.getInt32(at + cmsghdr.at.cmsg_level, true) === SOL_SOCKET &&
        control.getInt32(at + cmsghdr.at.cmsg_type, true) === SCM_RIGHTS;
      for (let fd = cmsghdr.sizeBytes; isRights && fd + 4 <= length; fd += 4) {
        fds.push(control.getInt32(at + fd, true));
      }
      at += Math.ceil(length / 8) * 8;
    }
  }

  #writeFds(fds: readonly number[]): number {
    const length = cmsghdr.sizeBytes + 4 * fds.length;
    const control = this.#control.view;
    control.setBigUint64(cmsghdr.at.cmsg_len, BigInt(length), true);
    control.setInt32(cmsghdr.at.cmsg_level, SOL_SOCKET, true);
    control.setInt32(cmsghdr.at.cmsg_type, SCM_RIGHTS, true);
    fds.forEach((fd, i) => {
      control.setInt32(cmsghdr.sizeBytes + 4 * i, fd, true);
    });
    return Math.ceil(length / 8) * 8;
  }
}
