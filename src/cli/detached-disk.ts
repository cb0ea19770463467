/**
 * Starts a disk in a process of its own that outlives this one: in a session of its own, its log in a file of the run
 * directory. Resolves when its socket listens.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type DiskConfig, optionsOf } from '../control/schema/disk-config.ts';
import { type DiskEnd, DiskStartError, endInWords } from './disk-process.ts';

export interface DetachedDisk {
  readonly pid: number;
  /** Of the process that was started; its successor after a live upgrade is nobody's child. */
  readonly ended: Promise<DiskEnd>;
}

export function logPath(directory: string, name: string): string {
  return join(directory, `${name}.log`);
}

function openLog(path: string): number {
  try {
    return openSync(path, 'a', 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new DiskStartError(`log ${path}: cannot be written (${code})`, 1);
  }
}

/** What the disk itself said of why it cannot start. */
function lastWords(path: string, fromBytes: number): string {
  const said = readFileSync(path).subarray(fromBytes).toString().split('\n');
  const words = said.filter((line) => line.startsWith('vloop: '));
  return words.map((line) => line.slice('vloop: '.length)).join('; ');
}

function endOf(child: ChildProcess): Promise<DiskEnd> {
  return new Promise((resolve) => {
    child.once('error', () => resolve({ status: 1, signal: null }));
    child.once('exit', (status, signal) => resolve({ status, signal }));
  });
}

/** `config` names the disk and its socket. Throws DiskStartError. */
export async function startDetached(config: DiskConfig, directory: string): Promise<DetachedDisk> {
  const log = logPath(directory, String(config['name']));
  const logFd = openLog(log);
  const logBytes = statSync(log).size;
  const [script = ''] = process.argv.slice(1);
  const command = [...process.execArgv, script, 'serve', ...optionsOf(config)];
  const env = { ...process.env, VLOOP_RUN_DIR: directory };
  const child = spawn(process.execPath, command, {
    detached: true,
    stdio: ['ignore', 'pipe', logFd],
    env,
  });
  closeSync(logFd);
  const ended = endOf(child);
  // The friendly form says where the socket is once it is there; afterwards nobody reads on.
  const serving = once(child.stdout!, 'data').then(() => null);
  serving.catch(() => {});
  const end = await Promise.race([serving, ended]);
  child.stdout!.destroy();
  child.unref();
  if (end === null) return { pid: child.pid!, ended };
  const reason = lastWords(log, logBytes) || `the disk process ${endInWords(end)}, see ${log}`;
  throw new DiskStartError(reason, end.status ?? 1);
}
