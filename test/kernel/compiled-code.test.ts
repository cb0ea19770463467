/**
 * What V8 has compiled for one front-end's requests is there for the next: it throws code away together with
 * the last object that the code was compiled for, and a guest's firmware and kernel are two front-ends. Read
 * from V8's own trace (--trace-deopt) of a vloop that collects all its garbage between several of them.
 */
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { mustRun } from '../support/bounded-process.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { VloopProcess } from '../support/vloop-process.ts';

const FRONT_ENDS = 5;
const LOAD = join(import.meta.dirname, '../bench/front-end-load.ts');
/** Every collection is of the whole heap, and a front-end's boxed numbers cause several. */
const NODE_FLAGS = ['--trace-deopt', '--trace-gc', '--gc-global', '--max-semi-space-size=1'];
/** Functions of every request, by the names that the trace gives them. */
const PER_REQUEST = ['serve', 'pop', 'walk', 'decode', 'submitTransfer', 'finish', 'push'];
const TIMEOUT_MS = 60_000;

const closers: Array<() => Promise<void>> = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

test.each([
  ['split rings', ['--ring=128']],
  ['packed rings and split ones in turns', ['--packed', '--ring=128']],
])(
  'a front-end that ends does not take compiled code with it: %s',
  async (_, everyOther) => {
    const disk = new ServedDisk();
    closers.push(() => disk.close());
    const args = ['--memory=16M', `--socket-path=${disk.socket}`];
    const vloop = await VloopProcess.serving({ args, nodeFlags: NODE_FLAGS });
    closers.push(() => vloop.kill());
    for (let i = 0; i < FRONT_ENDS; i++) {
      const collected = vloop.stdout.split('Mark-Compact').length;
      const layout = i % 2 === 0 ? [] : everyOther;
      const load = [
        ...layout,
        '--wait=spin',
        '--seconds=0.4',
        '--warm-seconds=0.1',
        '--ceiling-seconds=0',
      ];
      await mustRun([process.execPath, LOAD, disk.socket, ...load], TIMEOUT_MS);
      const since = vloop.stdout.split('Mark-Compact').length - collected;
      expect(since, 'collections of the whole heap').toBeGreaterThan(1);
    }
    const dropped = vloop.stdout.split('\n').filter((line) => line.includes('for deoptimization'));
    const ofRequests = dropped.filter((line) =>
      PER_REQUEST.some((name) => line.includes(`SharedFunctionInfo ${name}>`)),
    );
    expect(ofRequests, 'the trace names the functions').not.toEqual([]);
    expect(ofRequests.filter((line) => line.includes('weak objects cleared'))).toEqual([]);
  },
  TIMEOUT_MS,
);
