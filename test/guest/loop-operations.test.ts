/**
 * The loop device's operations under a running guest, as an operator has them (commands and JSON-RPC): while fio in the
 * guest writes at random and verifies, direct I/O is switched, the disk stands still and goes on, its file becomes
 * another one, and it grows. fio finds every byte, and so does the host in the file that the disk ends with.
 */
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RpcClient } from '../../src/control/rpc-client.ts';
import { mustRun, run, waitFor } from '../support/bounded-process.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';
import { vloopCommand } from '../support/vloop-process.ts';

const MIB = 2 ** 20;
const WAIT_MS = 60_000;
const BEFORE = 24 * MIB;
const AFTER = 32 * MIB;
const DISK = { disk: 'live' };
const opened = await requireGuestAssets('operations of the loop device');

const verified =
  '--filename=/dev/vda --direct=1 --verify=crc32c --verify_fatal=1 --do_verify=1 --serialize_overlap=1 ' +
  '--ioengine=libaio --iodepth=16 --bsrange=512-64k --blockalign=512 --output-format=terse';

const script = `
set -e
round() {
  fio --name=load ${verified} --rw=randwrite --randseed=$1 --offset=$2 --size=$3 --io_size=$4 >/tmp/out 2>&1 && return
  cat /tmp/out
  echo "RESULT fio failed in round $1"
  exit 1
}
i=0
echo LOAD-RUNS
until [ "$(cat /sys/block/vda/size)" = ${AFTER / 512} ]; do
  i=$((i + 1))
  [ $i -lt 500 ]
  round $i 0 ${BEFORE} 4m
done
echo "RESULT rounds $i"
echo GROWN
round 501 ${BEFORE} ${AFTER - BEFORE} 8m
echo 'RESULT fio ok'
sync
echo 3 >/proc/sys/vm/drop_caches
echo "RESULT sum $(sha256sum </dev/vda)"
dmesg | grep -i 'I/O error' | sed 's/^/RESULT kernel /' || true
`;

describe.skipIf(!opened.ok)('under a guest whose fio verifies what it writes', () => {
  let lab: GuestLab;
  let disk: GuestDisk;
  let rpc: RpcClient;
  const events: string[] = [];

  beforeAll(async () => {
    if (!opened.ok) return;
    lab = new GuestLab(opened.assets);
    disk = await lab.disk('first', { sizeBytes: BEFORE, vloop: ['--workers=2', '--name=live'] });
    rpc = await RpcClient.connect(`${process.env['VLOOP_RUN_DIR']}/${disk.process.pid}.ctl`);
    rpc.onEvent = (name) => events.push(name);
    await rpc.call('subscribe', {});
  });

  afterAll(async () => {
    rpc?.close();
    await lab?.close();
  });

  /** A command that has to succeed; what it prints. */
  async function vloop(...words: readonly string[]): Promise<string> {
    return await mustRun([...vloopCommand(), ...words], WAIT_MS);
  }

  async function writes(): Promise<number> {
    const { totals } = await rpc.call('disk_get_stats', DISK);
    expect([totals.errors, totals.guest_violations]).toEqual([0, 0]);
    return totals.writes;
  }

  /** The guest writes on. */
  async function writesOn(): Promise<void> {
    const before = await writes();
    await waitFor(
      () => 'writes of the guest',
      WAIT_MS,
      async () => (await writes()) > before + 20 || undefined,
    );
  }

  async function switchDirectIo(word: 'on' | 'off' | 'auto'): Promise<void> {
    await writesOn();
    await vloop('set', 'live', `--direct-io=${word}`);
    const status = await rpc.call('disk_get_status', DISK);
    expect(status).toMatchObject({ direct_io: word !== 'off', direct_io_setting: word });
  }

  async function looksAtIt(): Promise<void> {
    const stats = JSON.parse(await vloop('stats', 'live', '--json')) as {
      disks: Array<{ totals: Record<string, number>; queues: unknown[] }>;
    };
    expect(stats.disks[0]!.totals['bytes_written']).toBeGreaterThan(0);
    expect(stats.disks[0]!.queues).toHaveLength(2);
    expect(await vloop('why', 'live')).toMatch(/^live\n[\s\S]*queue 0: enabled[\s\S]*queue 1: ena/);
    const lines = (await vloop('trace', 'live', '--count=5')).trimEnd().split('\n');
    for (const line of lines.slice(-5)) expect(line).toMatch(/ (write|read|flush) .*\bOK$/);
  }

  /** Stands still, is copied, has the copy as its file and goes on. The copy. */
  async function swapsItsFile(): Promise<string> {
    const copy = join(lab.folder, 'copy.img');
    expect(await vloop('quiesce', 'live')).toBe('live: stands still\n');
    const still = await writes();
    copyFileSync(disk.image, copy);
    expect(await vloop('why', 'live')).toContain('the disk is quiesced');
    const refused = await run([...vloopCommand(), 'change-file', 'live', copy], WAIT_MS);
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('is writable')]);
    expect(await vloop('change-file', 'live', copy, '--quiesced')).toBe(`live: ${copy}\n`);
    expect(await writes()).toBe(still);
    expect(await vloop('resume', 'live')).toBe('live: goes on\n');
    return copy;
  }

  test('nothing is lost, and the log says what was done', async () => {
    const guest = await lab.boot({
      script,
      programs: ['fio'],
      arguments: disk.qemuArguments('num-queues=2'),
    });
    await guest.says('LOAD-RUNS');
    for (const word of ['off', 'on', 'off', 'auto'] as const) await switchDirectIo(word);
    await looksAtIt();
    await writesOn();
    const copy = await swapsItsFile();
    const old = readFileSync(disk.image);
    await writesOn();
    truncateSync(copy, AFTER);
    expect(await vloop('resize', 'live')).toBe(`live: ${BEFORE} → ${AFTER} bytes\n`);
    await guest.says('GROWN');
    for (const word of ['off', 'on'] as const) await vloop('set', 'live', `--direct-io=${word}`);
    const report = await guest.finish();
    expect(report.value('fio')).toBe('ok');
    expect(Number(report.value('rounds'))).toBeGreaterThan(0);
    expect(report.values('kernel')).toEqual([]);
    const final = readFileSync(copy);
    expect(final).toHaveLength(AFTER);
    expect(report.value('sum')).toContain(createHash('sha256').update(final).digest('hex'));
    expect(Buffer.compare(readFileSync(disk.image), old), 'the old file').toBe(0);
    expect(await rpc.call('disk_get_config', DISK)).toMatchObject({
      blk_file: copy,
      direct_io: 'on',
    });
    const summary = await disk.stop();
    expect(summary).toMatchObject({ errors: 0, guestViolations: 0 });
    const log = disk.process.output;
    const logged = (text: string) => log.split('\n').filter((line) => line.includes(text)).length;
    expect(logged('"msg":"the disk was changed"')).toBe(4 + 1 + 2);
    expect(logged('"msg":"the disk has a new size"')).toBe(1);
    expect(logged('"msg":"the disk stands still until it is resumed"')).toBe(1);
    expect(logged('"msg":"the disk goes on"')).toBe(1);
    const told = events.filter((name) => !/changing|connected|attached/.test(name));
    expect(told.slice(0, 8)).toEqual([
      ...Array.from({ length: 4 }, () => 'disk_changed'),
      'disk_quiesced',
      'disk_changed',
      'disk_resumed',
      'disk_resized',
    ]);
  });
});
