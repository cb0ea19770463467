/**
 * What a front-end leaves in vloop when it goes: nothing. And what is said about memory that its owner
 * could take away under vloop.
 */
import { readFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { IOVECS_PER_COMMAND } from '../../src/loop/loop-commands.ts';
import { blk } from '../support/mock-driver-blk.ts';
import { ServedDisk } from '../support/served-disk.ts';
import { eventually } from '../support/waiting.ts';

let disk: ServedDisk;

afterEach(async () => {
  await disk.close();
});

function virtualBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmSize:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

test('bug class 6: the iovec memory of large rings goes with the front-end', async () => {
  disk = await ServedDisk.serve();
  const queueSize = 1024;
  const ringBytes = queueSize * IOVECS_PER_COMMAND * 16;
  const before = virtualBytes(disk.vloop.pid);
  const frontEnd = await disk.connect({ queueCount: 2, queueSize });
  for (const queue of frontEnd.queues) await queue.mustRun(blk.read(0, 512));
  expect(virtualBytes(disk.vloop.pid) - before).toBeGreaterThan(2 * ringBytes);
  frontEnd.close();
  await disk.vloop.logged('front-end disconnected');
  await eventually(
    () => `less memory than one ring's: ${virtualBytes(disk.vloop.pid) - before} more`,
    5000,
    () => (virtualBytes(disk.vloop.pid) - before < ringBytes ? true : undefined),
  );
});

test('memory that can be truncated under vloop is mentioned once', async () => {
  disk = await ServedDisk.serve();
  for (let i = 0; i < 2; i++) {
    const frontEnd = await disk.connect();
    await frontEnd.queues[0]!.mustRun(blk.read(0, 512));
    frontEnd.close();
    await disk.vloop.logged('front-end disconnected', i + 1);
  }
  expect(disk.vloop.log('guest memory is not sealed')).toHaveLength(1);
});
