/**
 * What a request leaves for the garbage collector: nothing on its way through io_uring. Measured by V8's own
 * trace (--trace-gc) of a vloop under full load: what each scavenge found more than the last one left,
 * and that nothing but scavenges ran. The young generation is small, so that a few bytes a request show.
 * Where memory is copied by a call, two addresses a piece are boxed for it, and nothing else is.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { BoundedProcess } from '../support/bounded-process.ts';
import { noise } from '../support/image-content.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { VloopProcess } from '../support/vloop-process.ts';
import { eventually } from '../support/waiting.ts';

const REQUESTS = Number(process.env['ALLOCATION_REQUESTS'] ?? 2_000_000);
/** By then V8 has compiled what there is to compile, and collected once for that. */
const WARM_UP = 500_000;
const LOADS_MAX = 3;
const LOAD_TIMEOUT_MS = 60_000 + REQUESTS / 50;
const TIMEOUT_MS = LOADS_MAX * LOAD_TIMEOUT_MS;
const NODE_FLAGS = ['--trace-gc', '--max-semi-space-size=1'];
const BOXED_NUMBER_BYTES = 16;
/** Half of the requests have their data in one piece, half in four. */
const PIECES_PER_REQUEST = (1 + 4) / 2;
const LOAD = join(import.meta.dirname, '../support/steady-load.ts');

const closers: Array<() => Promise<void>> = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

interface Collection {
  readonly kind: string;
  readonly isolate: string;
  readonly beforeBytes: number;
  readonly afterBytes: number;
}

/** The collections in a trace; a line that is one and cannot be read is an error. */
function collectionsOf(trace: string): Collection[] {
  const lines = trace.split('\n').filter((line) => line.includes(' ms: '));
  return lines.map((line) => {
    const found = /^\[\d+:(\w+)\]\s+\d+ ms: (.+?) ([\d.]+) \([\d.]+\) -> ([\d.]+) \(/.exec(line);
    if (found === null) throw new Error(`a line of --trace-gc that is not understood: ${line}`);
    const [, isolate, kind, before, after] = found;
    const mib = 2 ** 20;
    return {
      kind: kind!,
      isolate: isolate!,
      beforeBytes: Number(before) * mib,
      afterBytes: Number(after) * mib,
    };
  });
}

/**
 * Allocated between the first collection and the last. What came before the first is less than the young
 * generation, half a byte a request.
 */
function allocatedBytes(collections: readonly Collection[]): number {
  const left = new Map<string, number>();
  let sum = 0;
  for (const { isolate, beforeBytes, afterBytes } of collections) {
    sum += beforeBytes - (left.get(isolate) ?? beforeBytes);
    left.set(isolate, afterBytes);
  }
  return sum;
}

/** The collections of a vloop in steady state, and the requests that it answered meanwhile. */
async function underLoad(vloop: VloopProcess, socket: string, kind: string, layout: string) {
  const argv = [process.execPath, LOAD, socket, kind, String(WARM_UP), String(REQUESTS), layout];
  const load = new BoundedProcess(argv);
  closers.push(() => load.kill());
  const said = (text: string) =>
    eventually(
      () => `"${text}" from the front-end; it said: ${load.output}`,
      LOAD_TIMEOUT_MS,
      () => {
        if (load.output.includes(text)) return true;
        if (load.ended) throw new Error(`the front-end ended: ${load.output}`);
        return undefined;
      },
    );
  await said('warm');
  // What was traced before then has to have come through the pipe.
  await sleep(200);
  const mark = vloop.stdout.length;
  load.signal('SIGUSR2');
  await said('done');
  await sleep(200);
  const requests = Number(/done (\d+)/.exec(load.output)![1]);
  expect(requests).toBeGreaterThanOrEqual(REQUESTS);
  expect(collectionsOf(vloop.stdout.slice(0, mark)), 'the trace works').not.toEqual([]);
  return { collections: collectionsOf(vloop.stdout.slice(mark)), requests };
}

/** What is wrong with a load's garbage, or null. */
function complaint(
  { collections, requests }: { collections: readonly Collection[]; requests: number },
  mostBytes: number,
): string | null {
  const others = collections.filter(({ kind }) => kind !== 'Scavenge').map(({ kind }) => kind);
  if (others.length > 0) return `not only scavenges: ${others.join(', ')}`;
  const bytes = allocatedBytes(collections) / requests;
  if (bytes < mostBytes) return null;
  return `${bytes.toFixed(2)} bytes a request in ${collections.length} scavenges, expected less than ${mostBytes}`;
}

/**
 * Loads a vloop until a load leaves no more garbage than it may. V8 compiles and collects by its own clock,
 * which may fall into one load; what requests leave is in every one.
 */
async function expectGarbage(
  vloop: VloopProcess,
  socket: string,
  kind: string,
  mostBytes: number,
  layout = 'split',
): Promise<void> {
  const complaints: string[] = [];
  while (complaints.length < LOADS_MAX) {
    const found = complaint(await underLoad(vloop, socket, kind, layout), mostBytes);
    if (found === null) return;
    complaints.push(found);
  }
  throw new Error(complaints.join('\n'));
}

test.each([
  ['read', 'split'],
  ['write', 'split, recorded'],
  ['read', 'packed, recorded'],
])(
  '%s through io_uring, hot file, rings %s: no garbage',
  async (kind, layout) => {
    const disk = new ServedDisk({ content: noise(16 * 2 ** 20, 5) });
    closers.push(() => disk.close());
    await disk.startVloop(['--direct-io=off', '--io-path=engine'], { nodeFlags: NODE_FLAGS });
    await expectGarbage(disk.vloop, disk.socket, kind, 1, layout);
  },
  TIMEOUT_MS,
);

test(
  '--memory: two boxed addresses for each piece that is copied, and nothing else',
  async () => {
    const disk = new ServedDisk();
    closers.push(() => disk.close());
    const args = ['--memory=16M', `--socket-path=${disk.socket}`];
    const vloop = await VloopProcess.serving({ args, nodeFlags: NODE_FLAGS });
    closers.push(() => vloop.kill());
    const boxed = 2 * PIECES_PER_REQUEST * BOXED_NUMBER_BYTES;
    // The trace rounds to tens of kilobytes; half a number more in each request would be seen.
    await expectGarbage(vloop, disk.socket, 'read', boxed + BOXED_NUMBER_BYTES / 2);
  },
  TIMEOUT_MS,
);
