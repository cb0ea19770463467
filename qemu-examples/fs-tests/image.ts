/**
 * The guest image as fs-tests wants it: built by image.sh or taken from its cache, trees fetched from their public git when
 * no directory was given, the payload packed. What cannot be done here is an EnvironmentError with one line.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { mustRun, run } from '../../test/support/bounded-process.ts';
import { EnvironmentError, UsageError } from './cases.ts';
import type { RunOptions } from './options.ts';
import type { TreeLists } from './plan.ts';

const HERE = import.meta.dirname;
const CLONE_TIMEOUT_MS = 300_000;
const PACK_TIMEOUT_MS = 30_000;
const COMPILE_TIMEOUT_MS = 300_000;
const EXIT_NOT_HERE = 3;

const PUBLIC_GIT = {
  xfstests: 'https://git.kernel.org/pub/scm/fs/xfs/xfstests-dev.git',
  blktests: 'https://github.com/linux-blktests/blktests.git',
} as const;

export interface GuestImage {
  readonly folder: string;
  readonly lists: TreeLists;
  /** What it was built from, a line each. */
  readonly recipe: string;
}

/** Builds or finds the image for the suites. The builder's steps go to standard error. */
export async function openImage(options: RunOptions, signal: AbortSignal): Promise<GuestImage> {
  const args: string[] = [];
  for (const tree of ['xfstests', 'blktests'] as const) {
    const given = tree === 'xfstests' ? options.xfstestsDir : options.blktestsDir;
    if (!options.suites.includes(tree)) continue;
    args.push(`--${tree}`, given === null ? await fetchTree(tree, signal) : resolve(given));
  }
  const folder = await buildImage(args, signal);
  return { folder, lists: readLists(folder), recipe: readFileSync(join(folder, 'recipe'), 'utf8') };
}

/** image.sh in a group of its own, told to end when the run is, however that ends: it cleans up behind itself. */
function buildImage(args: readonly string[], signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  return new Promise((settle, reject) => {
    const builder = ['bash', join(HERE, 'image.sh'), ...args];
    const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', ...builder], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let lastLine = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      const said = chunk.toString();
      // Why it stopped is said once, at the very end.
      process.stderr.write(said.replace(/^fs-tests image: .*\n/m, ''));
      lastLine = said.trim().split('\n').at(-1) || lastLine;
    });
    const end = () => child.kill('SIGTERM');
    signal.addEventListener('abort', end);
    child.once('error', reject);
    child.once('close', (status) => {
      signal.removeEventListener('abort', end);
      if (status === 0) settle(stdout.trim());
      else if (signal.aborted) reject(signal.reason);
      else if (status !== EXIT_NOT_HERE) reject(new EnvironmentError(`image.sh: ${lastLine}`));
      else if (/-dir=/.test(lastLine)) reject(new UsageError(lastLine.replace(/^[^:]*: /, '')));
      else reject(new EnvironmentError(lastLine.replace(/^fs-tests image: /, '')));
    });
  });
}

/** A shallow clone, kept; a later run takes it as it is. */
async function fetchTree(tree: keyof typeof PUBLIC_GIT, signal: AbortSignal): Promise<string> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'vloop', tree);
  if (existsSync(join(cache, 'check'))) return cache;
  const url = PUBLIC_GIT[tree];
  process.stderr.write(`fetching ${tree} from ${url}\n`);
  const partial = `${cache}.partial`;
  await run(['rm', '-rf', partial, cache], CLONE_TIMEOUT_MS, signal);
  const clone = ['env', 'GIT_TERMINAL_PROMPT=0', 'git', 'clone', '-q', '--depth=1', url, partial];
  try {
    await mustRun(clone, CLONE_TIMEOUT_MS, signal);
    await mustRun(['mv', '-T', partial, cache], CLONE_TIMEOUT_MS, signal);
  } catch (error) {
    signal.throwIfAborted();
    const lines = String(error instanceof Error ? error.message : error)
      .trim()
      .split('\n');
    const said = lines.find((line) => line.startsWith('fatal: ')) ?? lines.at(-1);
    throw new EnvironmentError(
      `${tree} cannot be fetched from ${url} (${said}); give its tree with --${tree}-dir=DIR`,
    );
  }
  return cache;
}

function readLists(folder: string): TreeLists {
  const groups = join(folder, 'groups');
  const names = existsSync(groups) ? readdirSync(groups) : [];
  const xfstests = new Map(names.map((name) => [name, readFileSync(join(groups, name), 'utf8')]));
  const device = join(folder, 'blktests-device');
  const blktests = existsSync(device)
    ? readFileSync(device, 'utf8').split('\n').filter(Boolean)
    : [];
  return { xfstests, blktests };
}

/** Settings of xfstests as a shell takes them; values are in single quotes, which end at none of theirs. */
export const settingsScript = (settings: RunOptions['settings']) =>
  settings.map(([name, value]) => `export ${name}='${value.replaceAll("'", "'\\''")}'\n`).join('');

/** The guest's scripts, settings, and for its suite the disk checker, as a tar archive, which QEMU shows as a disk. */
export async function packPayload(
  path: string,
  { suites, settings }: Pick<RunOptions, 'suites' | 'settings'>,
  signal: AbortSignal,
): Promise<void> {
  const folder = dirname(path);
  writeFileSync(join(folder, 'settings.sh'), settingsScript(settings));
  const scripts = ['-C', join(HERE, 'guest'), '.', '-C', folder, 'settings.sh'];
  await pack(['tar', '-cf', path, ...scripts], signal);
  if (!suites.includes('checker')) return;
  const { status, stdout, stderr } = await run(
    ['bash', join(HERE, '../lib/disk-checker.sh')],
    COMPILE_TIMEOUT_MS,
    signal,
  );
  if (status !== 0)
    throw new EnvironmentError(stderr.trim().split('\n').at(-1) ?? 'no disk checker');
  await pack(['tar', '-C', stdout.trim(), '-rf', path, 'disk-checker'], signal);
}

async function pack(tar: readonly string[], signal: AbortSignal): Promise<void> {
  const { status, stderr } = await run(tar, PACK_TIMEOUT_MS, signal);
  const said = stderr.trim().split('\n').at(-1);
  if (status !== 0) throw new EnvironmentError(`the guest's scripts cannot be packed: ${said}`);
}
