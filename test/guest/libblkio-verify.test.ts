/**
 * A client of our own on libblkio that checks every byte it reads while many requests of all kinds are in flight,
 * on one and on several queues, through direct and buffered I/O; see blkio-verify.c. At the end the image on the
 * host is compared with what the client believes. Skipped, with the reason printed, without a trixie root.
 */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type BackEndProcess, startBackEnd } from '../support/back-end-process.ts';
import { compileBlkioProgram } from '../support/blkio-program.ts';
import { openTrixieRoot, type Workspace } from '../support/trixie-root.ts';

const SIZE_BYTES = 64 << 20;
const SECONDS = 2;
const DEPTH = 16;

type Case = { name: string; queues: number; blockSize: number; vloop: readonly string[] };

const cases: readonly Case[] = [
  { name: 'buffered', queues: 1, blockSize: 512, vloop: ['--direct-io=off'] },
  { name: 'direct where the file allows', queues: 1, blockSize: 512, vloop: [] },
  { name: '4 KiB blocks', queues: 1, blockSize: 4096, vloop: [] },
  { name: 'four queues, one worker', queues: 4, blockSize: 512, vloop: ['--direct-io=off'] },
  { name: 'four queues, two workers', queues: 4, blockSize: 512, vloop: ['--workers=2'] },
  { name: 'never polling', queues: 2, blockSize: 512, vloop: ['--poll-us=0', '--workers=2'] },
];

const opened = await openTrixieRoot({ withCompiler: true });
if (!opened.ok) process.stdout.write(`skipped: verifying libblkio client: ${opened.reason}\n`);

describe.skipIf(!opened.ok)('every byte read is the one written last', () => {
  let workspace: Workspace;
  let backEnd: BackEndProcess | undefined;

  beforeEach(() => {
    if (opened.ok) workspace = opened.root.makeWorkspace();
  });

  afterEach(async () => {
    await backEnd?.process.kill();
    backEnd = undefined;
    workspace.remove();
  });

  test.each(cases)('$name', async ({ queues, blockSize, vloop }) => {
    writeFileSync(workspace.onHost('disk'), '');
    truncateSync(workspace.onHost('disk'), SIZE_BYTES);
    const source = join(import.meta.dirname, 'blkio-verify.c');
    const program = await compileBlkioProgram(workspace, source);
    backEnd = await startBackEnd('vloop', workspace, 'disk', {
      blockSize,
      numQueues: queues,
      vloopArguments: vloop,
    });
    const seed = Date.now() % 1_000_000;
    const numbers = [queues, DEPTH, SECONDS, seed].map(String);
    const shadow = workspace.inside('shadow');
    const command = [program, backEnd.socketInside, ...numbers, shadow];
    const output = await workspace.root.mustRun(command).catch((error: Error) => {
      throw new Error(`seed ${seed}: ${error.message}\n${backEnd?.process.output}`);
    });
    const counts = JSON.parse(output) as Record<string, number>;
    expect(Math.min(...Object.values(counts)), output).toBeGreaterThan(0);
    const { status, stderr } = await backEnd.stop();
    expect(status, stderr).toBe(0);
    const [image, expected] = ['disk', 'shadow'].map((name) =>
      readFileSync(workspace.onHost(name)),
    );
    expect(image?.equals(expected!), `image and client differ, seed ${seed}`).toBe(true);
  });
});
