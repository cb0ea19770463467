/**
 * The benchmark's load generator does what it says: its verify mode finds a wrong byte and a block in the wrong
 * place, a fixed rate is kept, and the requests it counts are the ones that a back-end has seen. Skipped, with the
 * reason printed, without a trixie root.
 */
import { closeSync, openSync, readSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BlkioClient, compileBlkioLoad } from '../bench/blkio-client.ts';
import { type BackEndProcess, startBackEnd } from '../support/back-end-process.ts';
import { openTrixieRoot, type Workspace } from '../support/trixie-root.ts';

const SIZE_BYTES = 16 << 20;
const BLOCK = 4096;
const BLOCKS = SIZE_BYTES / BLOCK;
const FILL = { op: 'fill', size: BLOCK, depth: 16 };
/** From front to back, several times over. */
const READ_ALL = { op: 'read', size: BLOCK, depth: 16, verify: 1 };

const opened = await openTrixieRoot({ withCompiler: true });
if (!opened.ok) process.stdout.write(`skipped: load generator: ${opened.reason}\n`);

describe.skipIf(!opened.ok)('blkio-load', () => {
  let workspace: Workspace;
  let client: BlkioClient;
  let backEnd: BackEndProcess;

  beforeAll(async () => {
    if (!opened.ok) return;
    workspace = opened.root.makeWorkspace();
    client = new BlkioClient(opened.root, await compileBlkioLoad(workspace));
  });

  beforeEach(async () => {
    writeFileSync(workspace.onHost('disk'), '');
    truncateSync(workspace.onHost('disk'), SIZE_BYTES);
    const vloopArguments = ['--direct-io=off'];
    backEnd = await startBackEnd('vloop', workspace, 'disk', { numQueues: 4, vloopArguments });
  });

  afterEach(() => backEnd.process.kill());
  afterAll(() => workspace?.remove());

  function edit(change: (fd: number) => void): void {
    const fd = openSync(workspace.onHost('disk'), 'r+');
    change(fd);
    closeSync(fd);
  }

  /** What vloop counted, from the last line of its log. */
  async function counted(): Promise<Record<string, number>> {
    const { stderr } = await backEnd.stop();
    return JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as Record<string, number>;
  }

  test('compares what it reads, on one queue and on several', async () => {
    expect((await client.run(backEnd, 1, FILL)).requests).toBe(BLOCKS);
    const { checked, requests } = await client.run(backEnd, 0.3, READ_ALL);
    expect(requests).toBeGreaterThan(BLOCKS);
    expect(checked).toBe(requests);
    await client.verify(backEnd, 4);
  });

  test('finds one wrong byte', async () => {
    await client.run(backEnd, 1, FILL);
    const offset = 1234 * BLOCK + 2345;
    edit((fd) => {
      const byte = Buffer.alloc(1);
      readSync(fd, byte, 0, 1, offset);
      byte[0]! ^= 0x10;
      writeSync(fd, byte, 0, 1, offset);
    });
    const word = offset - (offset % 8);
    await expect(client.run(backEnd, 0.3, READ_ALL)).rejects.toThrow(
      `wrong data at disk offset ${word},`,
    );
  });

  test('finds a block in the place of another', async () => {
    await client.run(backEnd, 1, FILL);
    edit((fd) => {
      const block = Buffer.alloc(BLOCK);
      readSync(fd, block, 0, BLOCK, 7 * BLOCK);
      writeSync(fd, block, 0, BLOCK, 9 * BLOCK);
    });
    await expect(client.run(backEnd, 0.3, READ_ALL)).rejects.toThrow(
      `wrong data at disk offset ${9 * BLOCK},`,
    );
  });

  test('finds a write that was lost', async () => {
    await client.run(backEnd, 1, FILL);
    const before = openSync(workspace.onHost('disk'), 'r');
    const block = Buffer.alloc(BLOCK);
    readSync(before, block, 0, BLOCK, 0);
    closeSync(before);
    const running = client.run(backEnd, 2, { ...READ_ALL, op: 'randrw' });
    const lose = setInterval(() => edit((fd) => writeSync(fd, block, 0, BLOCK, 0)), 5);
    await expect(running.finally(() => clearInterval(lose))).rejects.toThrow(
      /wrong data at disk offset 0, generation [1-9]/,
    );
  });

  test('keeps a fixed rate', async () => {
    const { requests } = await client.run(backEnd, 0.5, { op: 'randread', depth: 8, rate: 1000 });
    expect(requests).toBeGreaterThanOrEqual(499);
    expect(requests).toBeLessThanOrEqual(501);
  });

  test('counts what the back-end has seen', async () => {
    const flushed = await client.run(backEnd, 0.2, { op: 'writeflush', depth: 4 });
    const mixed = await client.run(backEnd, 0.2, { op: 'randrw', depth: 8, queues: 4 });
    const polled = await client.run(backEnd, 0.2, { op: 'discard', depth: 4, wait: 'spin' });
    const { reads, writes, flushes, discards } = await counted();
    expect(flushes).toBe(flushed.requests);
    expect(discards).toBe(polled.requests);
    expect(reads! + writes!).toBe(flushed.requests + mixed.requests);
    // Half of them, and so many that chance hardly shows.
    expect(reads! / mixed.requests).toBeCloseTo(0.5, 1);
  });
});
