/**
 * A message to a unix datagram socket, by path or by abstract name (`@name`), which Node cannot send: unix(7).
 */
import { closeSync } from 'node:fs';
import {
  AF_UNIX,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  UNIX_PATH_MAX,
} from '../../protocol/linux.ts';
import { declare, FixedBytes, valueOrErrno } from './libc.ts';

const socket = declare('int socket(int, int, int)');
const sendto = declare('intptr_t sendto(int, uintptr_t, size_t, int, uintptr_t, unsigned int)');

const FAMILY_BYTES = 2;

/** struct sockaddr_un, with the length that names exactly this address. Null: the name is too long. */
export function unixSocketAddress(name: string): FixedBytes | null {
  const bytes = new TextEncoder().encode(name);
  const abstract = name.startsWith('@');
  // A path ends with a zero byte; an abstract name begins with one and ends where its length says.
  const length = bytes.length + (abstract ? 0 : 1);
  if (bytes.length === 0 || length > UNIX_PATH_MAX) return null;
  const address = new FixedBytes(FAMILY_BYTES + length);
  address.view.setUint16(0, AF_UNIX, true);
  address.bytes.set(bytes, FAMILY_BYTES);
  if (abstract) address.bytes[FAMILY_BYTES] = 0;
  return address;
}

/** Sends without waiting. 0, or -errno; -1 (EPERM) for a name that is no address. */
export function sendDatagram(name: string, text: string): number {
  const address = unixSocketAddress(name);
  if (address === null) return -1;
  const fd = valueOrErrno(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd < 0) return fd;
  const encoded = new TextEncoder().encode(text);
  const message = new FixedBytes(encoded.length);
  message.bytes.set(encoded);
  const flags = MSG_NOSIGNAL | MSG_DONTWAIT;
  const sent = valueOrErrno(
    sendto(fd, message.address, encoded.length, flags, address.address, address.bytes.length),
  );
  closeSync(fd);
  return sent < 0 ? sent : 0;
}
