/**
 * The load generator against a running vloop: every shape of load keeps its data right, a block that is not what was
 * written is found and named, and the null device measures the generator itself.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { Load, type LoadReport, runLoad } from '../bench/load.ts';
import { parseLoadOptions } from '../bench/load-options.ts';
import { run } from '../support/bounded-process.ts';
import { noise } from '../support/image-content.ts';
import { ServedDisk } from '../support/served-disk.ts';

const BLOCK = 4096;
const DISK_BYTES = 1024 * BLOCK;
const SCRIPT = join(import.meta.dirname, '../bench/front-end-load.ts');

let disk: ServedDisk;
let load: Load | null = null;

afterEach(async () => {
  await load?.end();
  load = null;
  await disk.close();
});

async function serve(...args: string[]): Promise<void> {
  disk = await ServedDisk.serve({ sizeBytes: DISK_BYTES, args });
}

function verified(...argv: string[]): Promise<LoadReport> {
  const short = ['--seconds=0.3', '--warm-seconds=0', '--verify', '--io=mix'];
  return runLoad(parseLoadOptions([disk.socket, ...short, ...argv]));
}

describe('verify mode finds data right', () => {
  test.each([
    ['indirect chains, sleeping', []],
    ['direct chains, spinning', ['--direct', '--wait=spin', '--segments=8']],
    ['packed rings', ['--packed', '--ring=77', '--segments=3', '--size=12288', '--queues=2']],
    ['packed rings without EVENT_IDX', ['--packed', '--no-event-idx', '--depth=4']],
    ['without EVENT_IDX', ['--no-event-idx', '--depth=1']],
    ['several queues, each as deep as its ring', ['--queues=3', '--depth=128', '--size=512']],
    ['large requests of many segments', ['--size=65536', '--segments=128', '--depth=4']],
    ['in order', ['--order=sequential']],
  ])('%s', async (_, options) => {
    await serve();
    const report = await verified(...options);
    expect(report).toMatchObject({ wrongBlocks: 0, wrong: [] });
    expect(report.requests).toBeGreaterThan(100);
  });

  test('several disks at once, each with its own content', async () => {
    await serve();
    const other = await ServedDisk.serve({ sizeBytes: DISK_BYTES });
    try {
      const argv = [disk.socket, other.socket, '--verify', '--io=mix', '--seconds=0.3'];
      expect(await runLoad(parseLoadOptions(argv))).toMatchObject({ wrongBlocks: 0 });
      expect(Buffer.compare(disk.imageBytes(), other.imageBytes())).not.toBe(0);
    } finally {
      await other.close();
    }
  });
});

describe('verify mode finds a wrong block', () => {
  function blockOf(offset: number): Buffer {
    const bytes = Buffer.alloc(BLOCK);
    const fd = openSync(disk.image, 'r');
    readSync(fd, bytes, 0, BLOCK, offset);
    closeSync(fd);
    return bytes;
  }

  function overwrite(offset: number, bytes: Uint8Array): void {
    const fd = openSync(disk.image, 'r+');
    writeSync(fd, bytes, 0, bytes.length, offset);
    closeSync(fd);
  }

  /** A disk that was written whole. */
  async function written(): Promise<Load> {
    await serve('--direct-io=off');
    load = await Load.onSockets(parseLoadOptions([disk.socket, '--verify', '--segments=2']));
    load.pass('write');
    load.pass('read');
    expect(load.wrongBlocks).toBe(0);
    return load;
  }

  test('one byte of it', async () => {
    const generator = await written();
    const offset = 77 * BLOCK + 3000;
    const [byte] = blockOf(77 * BLOCK).subarray(3000);
    overwrite(offset, Uint8Array.of(byte! ^ 0x10));
    generator.pass('read');
    expect(generator.wrongBlocks).toBe(1);
    expect(generator.wrong[0]).toEqual({
      offsetBytes: 77 * BLOCK + 5 * 512,
      expected: `sector ${77 * 8 + 5}, generation 1`,
      found: 'a torn or damaged sector',
    });
  });

  test("another's content, an older one, a stranger's, none", async () => {
    const generator = await written();
    const old = blockOf(9 * BLOCK);
    generator.pass('write');
    overwrite(3 * BLOCK, blockOf(8 * BLOCK));
    overwrite(9 * BLOCK, old);
    overwrite(20 * BLOCK, noise(BLOCK, 1));
    overwrite(30 * BLOCK, Buffer.alloc(BLOCK));
    generator.pass('read');
    const found = new Map(generator.wrong.map((wrong) => [wrong.offsetBytes, wrong.found]));
    expect(found.get(3 * BLOCK)).toBe('sector 64, generation 2');
    expect(found.get(9 * BLOCK)).toBe('sector 72, generation 1');
    expect(found.get(20 * BLOCK)).toBe('content that this run did not write');
    expect(found.get(30 * BLOCK)).toBe('zeroes');
    // Each block is two segments, and each of them is checked.
    expect(generator.wrongBlocks).toBe(8);
  });
});

test('a request that fails ends the run with its status', async () => {
  await serve('--read-only');
  load = await Load.onSockets(parseLoadOptions([disk.socket, '--io=write']));
  const generator = load;
  expect(() => generator.measure(0.1)).toThrow(/status 1/);
});

test('as a process: one JSON line, with the ceiling of the generator itself', async () => {
  await serve();
  const argv = ['--seconds=0.3', '--ceiling-seconds=0.2', `--pid=${disk.vloop.pid}`, '--depth=8'];
  const { status, stdout } = await run([process.execPath, SCRIPT, disk.socket, ...argv], 20_000);
  expect(status).toBe(0);
  const report = JSON.parse(stdout) as LoadReport;
  expect(report.iops).toBeGreaterThan(0);
  expect(report.backEndCpuNs).toBeGreaterThan(0);
  expect(report.p999Us).toBeGreaterThanOrEqual(report.p50Us);
  expect(report.ceiling?.requests).toBeGreaterThan(0);
  const refused = await run([process.execPath, SCRIPT, disk.socket, '--depth=none'], 20_000);
  expect(refused).toMatchObject({ status: 1, stdout: '' });
});
