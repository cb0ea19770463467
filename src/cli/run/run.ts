/**
 * `vloop run`: disks on private sockets for as long as one command runs, which is a virtual machine's. Nothing of it
 * is left behind: no process, no socket, no directory.
 */
import { execFile } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { lineFormat } from '../../log.ts';
import { SocketError } from '../../vhost-user/server.ts';
import { MachineDisk } from './machine-disk.ts';
import { MachineProcess, statusOfSignal } from './machine-process.ts';
import { fillQemuCommand, qemuAt } from './qemu-command.ts';
import { parseRunArguments, type RunOptions, runHelp } from './run-options.ts';

/** A path that is longer leaves no room for the socket's name. */
const DIRECTORY_BYTES_MAX = 80;
const VERSION_LIMIT_MS = 5000;

/** The arguments after `run`. Resolves with the exit status. Throws OptionsError, DiskStartError or SocketError. */
export async function run(args: readonly string[]): Promise<number> {
  const options = parseRunArguments(args);
  if (options.help) {
    process.stdout.write(runHelp());
    return 0;
  }
  const logFd = options.logFile === null ? null : openLog(options.logFile);
  const directory = privateDirectory();
  try {
    const sockets = options.disks.map((_, i) => join(directory, `${i}.sock`));
    const command = await filledCommand(options, sockets);
    return await runWithDisks(options, sockets, command, logFd);
  } finally {
    if (logFd !== null) closeSync(logFd);
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Mode 0700: nobody else connects to the disks. */
function privateDirectory(): string {
  const usual = tmpdir();
  const parent = Buffer.byteLength(usual) > DIRECTORY_BYTES_MAX ? '/tmp' : usual;
  try {
    return mkdtempSync(join(parent, 'vloop-run-'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new SocketError(`a directory for the sockets cannot be made in ${parent} (${code})`);
  }
}

function openLog(path: string): number {
  try {
    return openSync(path, 'a', 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new SocketError(`--log ${path}: cannot be written (${code})`);
  }
}

async function filledCommand(
  { disks, command, device }: RunOptions,
  sockets: readonly string[],
): Promise<string[]> {
  const places = disks.map(({ queueCount }, i) => ({ socketPath: sockets[i]!, queueCount }));
  // What is wrong with the command is said before QEMU is asked for anything.
  fillQemuCommand(command, { disks: places, device, reconnect: null });
  const reconnect = await reconnectOption(command);
  return fillQemuCommand(command, { disks: places, device, reconnect });
}

/** QEMU renamed the option in 9.2, and newer ones have the new name only. Null: nobody knows which QEMU it is. */
async function reconnectOption(command: readonly string[]): Promise<string | null> {
  const at = qemuAt(command);
  if (at < 0) return null;
  const limits = { timeout: VERSION_LIMIT_MS };
  const answer = await promisify(execFile)(command[at]!, ['--version'], limits).catch(() => null);
  const [, major, minor] = /version (\d+)\.(\d+)/.exec(answer?.stdout ?? '') ?? [];
  if (major === undefined || minor === undefined) return null;
  const renamed = Number(major) > 9 || (Number(major) === 9 && Number(minor) >= 2);
  return renamed ? 'reconnect-ms=1000' : 'reconnect=1';
}

async function runWithDisks(
  options: RunOptions,
  sockets: readonly string[],
  command: readonly string[],
  logFd: number | null,
): Promise<number> {
  const format = await lineFormat(options.logFormat, logFd ?? 2);
  const onLine = (line: string) => {
    if (logFd !== null) writeSync(logFd, format(`${line}\n`));
    // What a disk says at its end without a log is said by this process.
    else if (line.startsWith('{')) process.stderr.write(format(`${line}\n`));
  };
  const say = (words: string) => process.stderr.write(`vloop: ${words}\n`);
  const level = logFd === null ? ['--log-level=warn'] : [];
  const disks = options.disks.map((disk, i) => {
    return new MachineDisk(disk, sockets[i]!, level, onLine, say);
  });
  const signalled = Promise.withResolvers<NodeJS.Signals>();
  const machine = new MachineProcess(signalled.resolve);
  try {
    const serving = Promise.all(disks.map((disk) => disk.start())).then(() => null);
    const signal = await Promise.race([serving, signalled.promise]);
    serving.catch(() => {});
    return signal === null ? await machine.run(command) : statusOfSignal(signal);
  } finally {
    await Promise.all(disks.map((disk) => disk.stop()));
    machine.close();
  }
}
