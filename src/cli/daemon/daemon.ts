/**
 * `vloop daemon`: one control socket for all disks of a run directory. It attaches disks, each in a process of its
 * own, and looks after them; they do not need it to run, and stay when it ends, however it does.
 */
import { chmodSync, closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { ControlError } from '../../control/controlled-disk.ts';
import type { HttpAddress } from '../../control/http-address.ts';
import type { HttpListener } from '../../control/http-server.ts';
import { serveLines } from '../../control/line-server.ts';
import type { DiskConfig } from '../../control/schema/disk-config.ts';
import { type Log, type LogFormat, type LogLevel, openLog } from '../../log.ts';
import { lockFile } from '../../sys/block-file.ts';
import { listenOn } from '../../vhost-user/server.ts';
import { openPage, pageLine } from '../http-page.ts';
import { controlPath, DAEMON_NAME, makeRunDirectory } from '../run-directory.ts';
import { ServiceManager } from '../service-manager.ts';
import { version } from '../version.ts';
import { daemonCall } from './daemon-call.ts';
import { Fleet } from './fleet.ts';

export interface DaemonOptions {
  /** Attached at the start, those that are not there yet. */
  readonly disks: readonly DiskConfig[];
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** Null: no page. */
  readonly http: HttpAddress | null;
}

/** Held until the process ends. Throws ControlError when another daemon has it. */
function lockDirectory(directory: string): number {
  const path = join(directory, `${DAEMON_NAME}.lock`);
  const fd = openSync(path, 'a+', 0o600);
  if (lockFile(fd, true) < 0) {
    const other = readFileSync(path, 'latin1').trim();
    closeSync(fd);
    throw new ControlError('EBUSY', `run directory ${directory}: process ${other} is its daemon`);
  }
  return fd;
}

function writePid(directory: string): void {
  const fd = openSync(join(directory, `${DAEMON_NAME}.lock`), 'w');
  writeSync(fd, `${process.pid}\n`);
  closeSync(fd);
}

async function attachConfigured(fleet: Fleet, disks: readonly DiskConfig[], log: Log) {
  const there = new Set((await fleet.list()).map(({ name }) => name));
  for (const disk of disks) {
    if (there.has(String(disk['name']))) continue;
    try {
      await fleet.attach(disk);
    } catch (error) {
      if (!(error instanceof ControlError)) throw error;
      // The others are as wanted as before.
      log.error({ disk, reason: error.message }, 'a disk of the configuration is not attached');
    }
  }
}

/** Resolves with the exit status. Throws ControlError or SocketError at start. */
export async function runDaemon(options: DaemonOptions): Promise<number> {
  const log = await openLog(options.logLevel, options.logFormat);
  const service = ServiceManager.withoutChildren(log);
  const directory = makeRunDirectory();
  const lockFd = lockDirectory(directory);
  writePid(directory);
  const ending = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.once(signal, resolve);
  });
  const path = controlPath(directory, DAEMON_NAME);
  const fleet = new Fleet(directory, log, true);
  const socket = listenOn(path);
  chmodSync(path, 0o600);
  try {
    await fleet.takeUp();
    let page: HttpListener | null = null;
    const call = daemonCall(fleet, version(), () => page?.url ?? null);
    const server = serveLines(socket.fd, call);
    server.ref();
    if (options.http !== null) page = await openPage(options.http, call, log, false);
    if (page !== null) process.stdout.write(pageLine(page));
    await attachConfigured(fleet, options.disks, log);
    log.info({ control: path }, 'the daemon takes commands');
    service.ready(`taking commands at ${path}`);
    const signal = await ending;
    log.info({ signal }, 'the daemon ends, and its disks go on');
    service.stopping('ending: the disks go on');
    server.close();
    await page?.close();
  } finally {
    fleet.leave();
    rmSync(path, { force: true });
    closeSync(lockFd);
  }
  return 0;
}
