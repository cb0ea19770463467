/**
 * The file descriptor that a disk's state is transferred on: a pipe or socket, written or read without
 * blocking, or a file. Each transfer owns its fd, ends in bounded time and closes it.
 * Source: vhost-user.rst, VHOST_USER_SET_DEVICE_STATE_FD.
 */
import { closeSync, fstatSync, readSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';

/** Front-ends read and write at once, and wait for the check meanwhile: one that does not hangs. */
export const STATE_TRANSFER_MS = 5000;

function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

/** Throws when Node knows no way to use the fd without blocking. */
function openStream(fd: number, options: { readable: boolean; writable: boolean }): Socket {
  const stream = new Socket({ fd, ...options });
  stream.setTimeout(0);
  return stream;
}

function withFile<T>(fd: number, use: () => T): T | string {
  try {
    return use();
  } catch (error) {
    return `the file descriptor cannot be used (${reasonOf(error)})`;
  } finally {
    closeSync(fd);
  }
}

/** Writes everything and closes. null, or why not. */
export function sendState(fd: number, bytes: Uint8Array): Promise<string | null> {
  if (fstatSync(fd).isFile()) {
    const failure = withFile(fd, () => {
      writeSync(fd, bytes);
      return null;
    });
    return Promise.resolve(failure);
  }
  return bounded(fd, { readable: false, writable: true }, (stream, settle) => {
    stream.once('finish', () => settle(null));
    stream.end(bytes);
  });
}

/** Reads to the end, at most `limitBytes`, and closes. The bytes, or why not. */
export function receiveState(fd: number, limitBytes: number): Promise<Uint8Array | string> {
  if (fstatSync(fd).isFile()) {
    const content = withFile(fd, () => {
      const buffer = Buffer.alloc(limitBytes);
      return new Uint8Array(buffer.subarray(0, readSync(fd, buffer)));
    });
    return Promise.resolve(content);
  }
  return bounded<Uint8Array>(fd, { readable: true, writable: false }, (stream, settle) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > limitBytes) settle(`the stream has more than ${limitBytes} bytes`);
    });
    stream.on('end', () => settle(new Uint8Array(Buffer.concat(chunks))));
  });
}

function bounded<T>(
  fd: number,
  options: { readable: boolean; writable: boolean },
  run: (stream: Socket, settle: (result: T | string) => void) => void,
): Promise<T | string> {
  let stream: Socket;
  try {
    stream = openStream(fd, options);
  } catch (error) {
    closeSync(fd);
    return Promise.resolve(`the file descriptor is no pipe, socket or file (${reasonOf(error)})`);
  }
  return new Promise((resolve) => {
    const settle = (result: T | string) => {
      clearTimeout(timer);
      // The answer comes when the fd is closed: whoever counts finds none left.
      stream.once('close', () => resolve(result));
      stream.destroy();
    };
    const timer = setTimeout(
      () => settle(`the transfer has not ended in ${STATE_TRANSFER_MS} ms`),
      STATE_TRANSFER_MS,
    );
    stream.once('error', (error) => settle(`the transfer failed (${reasonOf(error)})`));
    run(stream, settle);
  });
}
