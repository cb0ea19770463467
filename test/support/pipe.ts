/**
 * A pipe as two file descriptors, neither of which blocks: what a front-end hands to a back-end to have
 * something written or read. Waits are bounded.
 */
import { readSync } from 'node:fs';
import { errnoName } from '../../protocol/errno.ts';
import { declare, FixedBytes, valueOrErrno } from '../../src/sys/libc.ts';
import { eventually } from './waiting.ts';

const pipe2 = declare('int pipe2(uintptr_t, int)');
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;

export function openPipe(): { readonly readFd: number; readonly writeFd: number } {
  const fds = new FixedBytes(8);
  const result = valueOrErrno(pipe2(fds.address, O_NONBLOCK | O_CLOEXEC));
  if (result < 0) throw new Error(`pipe2: ${errnoName(result)}`);
  return { readFd: fds.view.getInt32(0, true), writeFd: fds.view.getInt32(4, true) };
}

/** What comes until the other end is closed. */
export async function readAll(fd: number): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  await eventually('end of the pipe', 5000, () => {
    const chunk = Buffer.alloc(4096);
    try {
      const count = readSync(fd, chunk);
      chunks.push(chunk.subarray(0, count));
      return count === 0 || undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
      throw error;
    }
  });
  return new Uint8Array(Buffer.concat(chunks));
}
