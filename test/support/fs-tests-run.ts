/**
 * fs-tests as a process, as a user runs it, in a folder of its own: what it says, what it leaves, what is inside while it
 * runs. The guest image is built first, once; where that cannot be done the reason is printed and tests are skipped.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { CaseResult } from '../../qemu-examples/fs-tests/cases.ts';
import { BoundedProcess, run, waitFor } from './bounded-process.ts';
import { requireGuestAssets } from './guest-assets.ts';

export const EXAMPLES = join(import.meta.dirname, '../../qemu-examples');
export const NODE = join(import.meta.dirname, '../../node_modules/.bin/node');
const IMAGE_TIMEOUT_MS = 900_000;
/** Three quarters of a minute on a quiet machine; several minutes beside eight busy ones at a lower priority. */
export const RUN_TIMEOUT_MS = 500_000;

export interface FsTestsImage {
  /** The image's own kernel. */
  readonly kernel: string;
}

/** The guest image, built or found; or why there is none, said once. */
export async function requireFsTestsImage(): Promise<FsTestsImage | { readonly reason: string }> {
  const opened = await requireGuestAssets('fs-tests');
  if (!opened.ok) return { reason: opened.reason };
  const image = await run(['bash', join(EXAMPLES, 'fs-tests/image.sh')], IMAGE_TIMEOUT_MS);
  if (image.status === 0) return { kernel: join(image.stdout.trim(), 'vmlinuz') };
  return skipped(image.stderr);
}

/** This Debian's own cloud kernel with all its modules: a kernel as a user has one. */
export async function requireDebianKernel(): Promise<
  { readonly kernel: string; readonly modules: string } | { readonly reason: string }
> {
  const found = await run(['bash', join(EXAMPLES, 'lib/debian-kernel.sh')], IMAGE_TIMEOUT_MS);
  if (found.status !== 0) return skipped(found.stderr);
  const modules = found.stdout.trim();
  const name = readdirSync(join(modules, 'boot')).find((file) => file.startsWith('vmlinuz-'));
  return { kernel: join(modules, 'boot', name ?? 'vmlinuz'), modules };
}

function skipped(stderr: string): { readonly reason: string } {
  const reason = stderr.trim().split('\n').at(-1) ?? '';
  process.stderr.write(`skipped: fs-tests: ${reason}\n`);
  return { reason };
}

function commandLine(pid: string): string {
  try {
    return readFileSync(join('/proc', pid, 'cmdline'), 'utf8');
  } catch {
    return '';
  }
}

export class FsTestsRun {
  readonly folder = mkdtempSync(join(tmpdir(), 'vloop-fs-tests-'));
  #process: BoundedProcess | undefined;

  /** fs-tests with one small guest at a time, unless `args` say otherwise. */
  start(args: readonly string[], vloop = ''): BoundedProcess {
    return this.startCommand([
      ...['env', `VLOOP=${vloop}`, NODE, join(EXAMPLES, 'fs-tests.ts')],
      ...[`--output=${this.results}`, '--guests=1', '--memory-mib=1024', ...args],
    ]);
  }

  /** Any command; what it makes under TMPDIR is looked for afterwards. */
  startCommand(command: readonly string[]): BoundedProcess {
    this.#process = new BoundedProcess(['env', `TMPDIR=${this.folder}`, ...command]);
    return this.#process;
  }

  get results(): string {
    return join(this.folder, 'results');
  }

  resultList(folder = this.results): CaseResult[] {
    const text = readFileSync(join(folder, 'results.json'), 'utf8');
    return (JSON.parse(text) as { results: CaseResult[] }).results;
  }

  said(text: string): Promise<true> {
    return waitFor(
      () => `"${text}"; ${this.#process?.output}`,
      RUN_TIMEOUT_MS,
      () => this.#process?.output.includes(text) || undefined,
    );
  }

  /** Where a guest's sockets and images are while it runs. */
  guestFolder(guest: string): string {
    const [work] = readdirSync(this.folder).filter((name) => name.startsWith('vloop-fs-'));
    return join(this.folder, work ?? 'no work folder', guest);
  }

  /** The guest's test writes to its scratch disk: that is empty until then. */
  async writes(guest: string): Promise<void> {
    await this.said(`${guest}: Linux `);
    const image = join(this.guestFolder(guest), 'scratch.img');
    await waitFor(
      () => `write to ${image}`,
      RUN_TIMEOUT_MS,
      () => statSync(image).blocks > 0 || undefined,
    );
  }

  /** The process that serves a disk of a guest. */
  vloopOf(guest: string, role: string): number {
    const image = join(this.guestFolder(guest), `${role}.img`);
    const found = readdirSync('/proc').filter(
      (pid) => /^\d+$/.test(pid) && commandLine(pid).split('\0').includes(image),
    );
    expect(found, `processes that serve ${image}`).toHaveLength(1);
    return Number(found[0]);
  }

  /** Only results: no work folder, no image, no process that was given a path which begins so. */
  async expectNothingLeft(path = `${this.folder}/vloop-fs-`): Promise<void> {
    expect(readdirSync(this.folder).filter((name) => name.startsWith('vloop-fs-'))).toEqual([]);
    const alive = () =>
      readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandLine(pid).includes(path));
    await waitFor(
      () => `end of ${alive().join()}`,
      15_000,
      () => alive().length === 0 || undefined,
    );
  }

  async close(): Promise<void> {
    await this.#process?.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
