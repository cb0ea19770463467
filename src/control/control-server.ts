/**
 * What a process loads when the first client comes to its control socket: methods, their checks, the server.
 */
import type { Server } from 'node:net';
import type { ControlTarget } from './controlled-disk.ts';
import { dispatchTo } from './dispatch.ts';
import { serveLines } from './line-server.ts';

/** Serves `target` on the listening socket `fd`, which is the server's from now on. */
export function controlServer(fd: number, target: ControlTarget): Server {
  return serveLines(fd, dispatchTo(target));
}
