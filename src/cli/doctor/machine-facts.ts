/**
 * The facts that `vloop doctor` judges, by trying: what a switch says matters less than whether the call succeeds.
 * Changes nothing.
 */
import { execFileSync } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync, openSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { errnoName } from '../../../protocol/errno.ts';
import { probeAio } from '../../sys/aio.ts';
import { closeFile } from '../../sys/block-file.ts';
import { probeRing } from '../../sys/io-uring.ts';
import { createMemfd } from '../../sys/memfd.ts';
import { SocketError } from '../../vhost-user/server.ts';
import { makeRunDirectory, runDirectory } from '../run-directory.ts';
import type { Attempt, MachineFacts } from './findings.ts';

const QEMU = 'qemu-system-x86_64';
const QEMU_LIMIT_MS = 10_000;

const attempt = (result: number): Attempt => (result >= 0 ? 'ok' : errnoName(result));

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}

function numberIn(path: string): number | null {
  const text = textOf(path);
  return text === null ? null : Number(text);
}

/** The soft limit of a row of /proc/self/limits. */
export function limitIn(limits: string, row: string): number {
  const soft = new RegExp(`^${row}\\s+(\\S+)`, 'm').exec(limits)?.[1];
  return soft === undefined || soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}

function tryKvm(): Attempt {
  try {
    closeSync(openSync('/dev/kvm', constants.O_RDWR));
    return 'ok';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'EUNKNOWN';
  }
}

function tryMemfd(): Attempt {
  const fd = createMemfd('vloop-doctor');
  if (fd >= 0) closeFile(fd);
  return attempt(fd);
}

function qemuSays(...args: string[]): string | null {
  try {
    const options = { encoding: 'utf8', timeout: QEMU_LIMIT_MS, stdio: 'pipe' } as const;
    return execFileSync(QEMU, args, options);
  } catch {
    return null;
  }
}

function findQemu(): MachineFacts['qemu'] {
  const version = qemuSays('--version');
  if (version === null) return null;
  const devices = qemuSays('-device', 'help') ?? '';
  const number = /version (\S+)/.exec(version)?.[1] ?? 'of unknown version';
  return { version: number, vhostUserBlk: devices.includes('"vhost-user-blk-pci"') };
}

function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function tryRunDirectory(): MachineFacts['runDirectory'] {
  const path = runDirectory();
  try {
    makeRunDirectory();
    return { path, refusal: null };
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    return { path, refusal: error.message };
  }
}

export function machineFacts(): MachineFacts {
  const limits = textOf('/proc/self/limits') ?? '';
  const status = textOf('/proc/self/status') ?? '';
  return {
    node: process.versions.node,
    uring: attempt(probeRing()),
    uringDisabled: numberIn('/proc/sys/kernel/io_uring_disabled'),
    filtered: /^Seccomp:\s+2$/m.test(status),
    aio: attempt(probeAio()),
    openFiles: limitIn(limits, 'Max open files'),
    lockedBytes: limitIn(limits, 'Max locked memory'),
    cpuCount: availableParallelism(),
    memfd: tryMemfd(),
    hugePagesFree: numberIn('/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages'),
    kvm: tryKvm(),
    qemu: findQemu(),
    libvirt: onPath('virsh') || onPath('libvirtd') || onPath('virtqemud'),
    systemd: existsSync('/run/systemd/system'),
    runDirectory: tryRunDirectory(),
  };
}
