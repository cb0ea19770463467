/**
 * Under which conditions a run was made: what a reader needs to repeat it or to explain a difference. Collected from the
 * machine; goes into results.json and onto the results page.
 */
import { readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { run } from '../../test/support/bounded-process.ts';
import type { Side } from './cases.ts';
import { DISK_SIZES_GIB } from './disks.ts';

const CHECKOUT = join(import.meta.dirname, '../..');
const QUESTION_TIMEOUT_MS = 20_000;

export interface RunConditions {
  readonly date: string;
  readonly commit: string;
  readonly command: string;
  readonly guestKernel: string;
  readonly accelerator: string;
  readonly qemu: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly guests: number;
  readonly hostCpu: string;
  readonly hostKernel: string;
  readonly hostFileSystem: string;
  /** vloop's mode in its own words. */
  readonly cacheMode: string;
  readonly disks: string;
  readonly image: string;
  readonly sides: readonly Side[];
  readonly elapsedSeconds: number;
}

async function answer(...argv: string[]): Promise<string> {
  const { status, stdout } = await run(argv, QUESTION_TIMEOUT_MS);
  return status === 0 ? stdout.trim() : 'unknown';
}

export async function hostConditions(workFolder: string, qemu: string) {
  const { version } = JSON.parse(readFileSync(join(CHECKOUT, 'package.json'), 'utf8')) as {
    version: string;
  };
  const commit = await answer('git', '-C', CHECKOUT, 'describe', '--always', '--dirty');
  const said = await answer(qemu, '--version');
  return {
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    commit: `${version} ${commit}`,
    qemu: said.split('\n')[0]!.replace('QEMU emulator version ', ''),
    hostCpu: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    hostKernel: release(),
    hostFileSystem: (await answer('df', '--output=fstype', workFolder)).split('\n').at(-1)!,
  };
}

export const disksText = (roles: readonly string[]) =>
  roles.map((role) => `${role} ${DISK_SIZES_GIB[role]} GiB`).join(', ');
