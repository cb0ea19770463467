/**
 * `make bench-start`: how long vloop takes from the command to a socket that takes a connection, which is what every
 * job of a CI pays for each disk. Cold is a first start: no compiled code is kept yet, so that Node strips types and
 * compiles; warm is every later one. Files are in the page cache in both. Prints medians against the target.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Summary, summarize } from './statistics.ts';

const CHECKOUT = join(import.meta.dirname, '../..');
const VLOOP = join(CHECKOUT, 'src/cli/vloop.js');
const TARGET_MS = 250;
const ROUNDS = 15;
const START_LIMIT_MS = 20_000;

interface Start {
  readonly directory: string;
  /** Where compiled code is kept. */
  readonly cache: string;
}

const print = (text: string) => process.stdout.write(`${text}\n`);

/** Whether the socket takes a connection now. */
async function accepts(path: string): Promise<boolean> {
  if (!existsSync(path)) return false;
  const socket = connect(path);
  return (await new Promise((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  }).finally(() => socket.destroy())) as boolean;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

/** Starts vloop once and ends it; milliseconds until it could be connected to. */
async function startOnce({ directory, cache }: Start): Promise<number> {
  const socket = join(directory, 'disk.sock');
  const args = [VLOOP, `--blk-file=${join(directory, 'disk.img')}`, `--socket-path=${socket}`];
  const env = { ...process.env, NODE_COMPILE_CACHE: cache };
  const begin = performance.now();
  const child = spawn(process.execPath, [...args, '--log-level=error'], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    while (!(await accepts(socket))) {
      if (child.exitCode !== null) throw new Error(`vloop ended with status ${child.exitCode}`);
      if (performance.now() - begin > START_LIMIT_MS) throw new Error('vloop does not start');
      await sleep(1);
    }
    return performance.now() - begin;
  } finally {
    await stop(child);
  }
}

async function measure(directory: string): Promise<{ cold: number[]; warm: number[] }> {
  const cold: number[] = [];
  const warm: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const cache = join(directory, `compiled-${round}`);
    const coldMs = await startOnce({ directory, cache });
    const warmMs = await startOnce({ directory, cache });
    // The first round brings files into the page cache.
    if (round > 0) {
      cold.push(coldMs);
      warm.push(warmMs);
    }
  }
  return { cold, warm };
}

function line(name: string, { median, min, max, count }: Summary): string {
  const verdict = median < TARGET_MS ? 'met' : 'missed';
  const range = `${min.toFixed(0)}–${max.toFixed(0)} ms, ${count} starts`;
  return `${name.padEnd(5)} ${median.toFixed(0)} ms (${range}); target ${TARGET_MS} ms: ${verdict}`;
}

const directory = mkdtempSync(join(tmpdir(), 'vloop-start-'));
try {
  writeFileSync(join(directory, 'disk.img'), '');
  truncateSync(join(directory, 'disk.img'), 16 * 2 ** 20);
  print(`Node ${process.versions.node}, from the command to a connection, medians (ranges)`);
  const { cold, warm } = await measure(directory);
  print(line('cold', summarize(cold)));
  print(line('warm', summarize(warm)));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
