/**
 * Where vloop processes of one user meet: a directory with the control socket of each. Mode 0700, so that nobody
 * else commands their disks.
 */
import { chmodSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SocketError } from '../vhost-user/server.ts';

const CONTROL_SUFFIX = '.ctl';

export function runDirectory(): string {
  const { VLOOP_RUN_DIR, XDG_RUNTIME_DIR } = process.env;
  if (VLOOP_RUN_DIR) return VLOOP_RUN_DIR;
  const uid = process.getuid!();
  if (uid === 0) return '/run/vloop';
  return XDG_RUNTIME_DIR ? join(XDG_RUNTIME_DIR, 'vloop') : join(tmpdir(), `vloop-${uid}`);
}

/** Makes the directory if need be. Throws SocketError when it cannot be made or belongs to somebody else. */
export function makeRunDirectory(): string {
  const directory = runDirectory();
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const { uid, mode } = statSync(directory);
    if (uid !== process.getuid!()) throw new SocketError(`${directory} belongs to user ${uid}`);
    if ((mode & 0o077) !== 0) chmodSync(directory, 0o700);
  } catch (error) {
    if (error instanceof SocketError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new SocketError(`run directory ${directory}: cannot be used (${code})`);
  }
  return directory;
}

export function controlPath(directory: string, name: string | number): string {
  return join(directory, `${name}${CONTROL_SUFFIX}`);
}

/** The daemon's, which has no disks of its own. */
export const DAEMON_NAME = 'daemon';

/** The control sockets of processes with disks that lie there, of whoever still listens or not. */
export function controlPaths(directory: string): string[] {
  try {
    const sockets = readdirSync(directory).filter((name) => name.endsWith(CONTROL_SUFFIX));
    const names = sockets.filter((name) => name !== `${DAEMON_NAME}${CONTROL_SUFFIX}`);
    return names.map((name) => join(directory, name)).sort();
  } catch {
    // No directory: no process has ever listened.
    return [];
  }
}
