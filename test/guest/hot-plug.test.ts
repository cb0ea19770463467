/**
 * One machine with more than 4 GiB of memory in which things come and go while it reads, writes and
 * compares: memory is plugged in, used and taken out again, a disk is plugged in and out several times, the
 * last time under load, and the machine is stopped and continued in between.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitFor } from '../support/bounded-process.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';
import type { Guest, GuestReport } from '../support/guest-vm.ts';

const MIB = 2 ** 20;
const PLUGS = 3;
const DIMMS = 2;
const DIMM_MIB = 256;
const opened = await requireGuestAssets('hot-plug');

const script = `
set -e
# Writes, reads back and compares, without end; a file system's pages and direct I/O in turns.
verify() {
  n=0
  until [ -e /stop ]; do
    dd if=/dev/urandom of=/tmp/in bs=64k count=16 2>/dev/null
    at=$((n % 32 * 16))
    dd if=/tmp/in of=/dev/vda bs=64k seek=$at oflag=direct conv=notrunc 2>/dev/null
    dd if=/dev/vda of=/tmp/out bs=64k skip=$at count=16 iflag=direct 2>/dev/null
    cmp /tmp/in /tmp/out || break
    cp /tmp/in /mnt/file$((n % 8))
    sync
    echo 1 >/proc/sys/vm/drop_caches
    cmp /tmp/in /mnt/file$((n % 8)) || break
    n=$((n + 1))
    echo $n >/rounds
  done
  [ -e /stop ] || echo "RESULT wrong round $n"
  echo "RESULT rounds $n"
}
movable() { sed -n '/zone  Movable/,/pagesets/p' /proc/zoneinfo | sed -n "s/^ *\\(pages \\)\\{0,1\\}$1 *//p"; }

mkfs.ext4 -q -F /dev/vdb
mount -t ext4 /dev/vdb /mnt
echo "RESULT memory-kib $(sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo)"
verify &
load=$!
until [ -e /rounds ]; do sleep 0.1; done
echo LOAD-RUNS

blocks=$(ls -d /sys/devices/system/memory/memory* | wc -l)
until [ $(ls -d /sys/devices/system/memory/memory* | wc -l) = $((blocks + ${(DIMMS * DIMM_MIB) / 128})) ]; do sleep 0.1; done
for state in /sys/devices/system/memory/memory*/state; do
  grep -q offline $state && echo online_movable >$state
done
echo "RESULT memory-plugged-kib $(sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo)"
# What the page cache takes comes from the movable zone, which is the new memory, first.
dd if=/dev/vda of=/dev/null bs=1M count=128 2>/dev/null
before=$(cat /rounds)
until [ $(cat /rounds) -gt $((before + 2)) ]; do sleep 0.1; done
echo "RESULT plugged-pages-used $(($(movable managed) - $(movable free)))"
echo DIMMS-IN-USE
until [ $(ls -d /sys/devices/system/memory/memory* | wc -l) = $blocks ]; do sleep 0.1; done
echo "RESULT memory-unplugged-kib $(sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo)"

for plug in ${Array.from({ length: PLUGS }, (_, i) => i + 1).join(' ')}; do
  until [ -b /dev/vdc ]; do sleep 0.05; done
  dd if=/dev/urandom of=/tmp/plug bs=1M count=4 2>/dev/null
  dd if=/tmp/plug of=/dev/vdc bs=1M seek=$((plug * 4)) oflag=direct conv=notrunc 2>/dev/null
  dd if=/dev/vdc bs=1M skip=$((plug * 4)) count=4 iflag=direct 2>/dev/null | cmp - /tmp/plug
  echo "RESULT plug$plug $(sha256sum </tmp/plug)"
  if [ $plug = ${PLUGS} ]; then
    (while [ -b /dev/vdc ]; do dd if=/tmp/plug of=/dev/vdc bs=16k seek=4096 oflag=direct conv=notrunc 2>/dev/null || true; done) &
    sleep 0.3
  fi
  echo PLUGGED-$plug
  until [ ! -b /dev/vdc ]; do sleep 0.05; done
done
touch /stop
wait $load
umount /mnt
e2fsck -fn /dev/vdb >/dev/null 2>&1
echo 'RESULT fsck clean'
`;

interface VhostQueueStatus {
  readonly 'avail-phys': number;
}

/** Mappings of memory that QEMU shares. */
function guestMappings({ process }: GuestDisk): number {
  const maps = readFileSync(`/proc/${process.pid}/maps`, 'latin1');
  return maps.split('\n').filter((line) => line.includes('/memfd:')).length;
}

function openFds({ process }: GuestDisk): number {
  return readdirSync(`/proc/${process.pid}/fd`).length;
}

describe.skipIf(!opened.ok)('hot-plug', () => {
  let lab: GuestLab;
  let guest: Guest;
  let report: GuestReport;
  let disks: [raw: GuestDisk, files: GuestDisk, plugged: GuestDisk];

  /** The highest address of a ring. */
  async function ringAddress(): Promise<number> {
    const devices = (await guest.qmp('x-query-virtio')) as Array<{ path: string }>;
    const query = 'x-query-virtio-vhost-queue-status';
    const rings = await Promise.all(
      devices.map(({ path }) => guest.qmp(query, { path, queue: 0 }) as Promise<VhostQueueStatus>),
    );
    return Math.max(...rings.map((ring) => ring['avail-phys']));
  }

  async function plugMemory(n: number): Promise<void> {
    const memory = { id: `dimm-mem${n}`, size: DIMM_MIB * MIB, share: true };
    await guest.qmp('object-add', { 'qom-type': 'memory-backend-memfd', ...memory });
    await guest.qmp('device_add', { driver: 'pc-dimm', id: `dimm${n}`, memdev: memory.id });
  }

  async function unplugMemory(n: number): Promise<void> {
    await guest.qmp('device_del', { id: `dimm${n}` });
    await guest.event('DEVICE_DELETED', { device: `dimm${n}` });
    await guest.qmp('object-del', { id: `dimm-mem${n}` });
  }

  async function plugDisk(disk: GuestDisk): Promise<void> {
    const addr = { type: 'unix', data: { path: disk.socket } };
    const backend = { type: 'socket', data: { addr, server: false } };
    await guest.qmp('chardev-add', { id: 'plugged', backend });
    const device = {
      driver: 'vhost-user-blk-pci',
      id: 'disk',
      chardev: 'plugged',
      bus: 'plugport',
    };
    await guest.qmp('device_add', device);
  }

  async function unplugDisk(): Promise<void> {
    await guest.qmp('device_del', { id: 'disk' });
    await guest.event('DEVICE_DELETED', { device: 'disk' });
    await guest.qmp('chardev-remove', { id: 'plugged' });
  }

  beforeAll(async () => {
    if (!opened.ok) return;
    lab = new GuestLab(opened.assets);
    disks = [
      await lab.disk('raw', { sizeBytes: 160 * MIB, vloop: ['--workers=2'] }),
      await lab.disk('files', { sizeBytes: 64 * MIB }),
      await lab.disk('plugged', { sizeBytes: 160 * MIB }),
    ];
    guest = await lab.boot({
      script,
      memory: '5G,slots=4,maxmem=8G',
      arguments: [
        ...['-device', 'pcie-root-port,id=plugport,chassis=1'],
        ...disks[0].qemuArguments('num-queues=2'),
        ...disks[1].qemuArguments(),
      ],
    });
  });

  afterAll(() => lab?.close());

  test('memory comes and goes under a verified load', async () => {
    await guest.says('LOAD-RUNS');
    expect(await ringAddress()).toBeGreaterThan(2 ** 32);
    const mapped = guestMappings(disks[0]);
    for (let n = 0; n < DIMMS; n++) await plugMemory(n);
    await guest.says('DIMMS-IN-USE');
    expect(guestMappings(disks[0])).toBe(mapped + DIMMS);
    for (let n = 0; n < DIMMS; n++) await unplugMemory(n);
    await guest.says('RESULT memory-unplugged-kib');
    expect(guestMappings(disks[0])).toBe(mapped);
  });

  test('a disk comes and goes, and leaves no fd and no mapping in vloop', async () => {
    const [, , disk] = disks;
    const fds = openFds(disk);
    for (let plug = 1; plug <= PLUGS; plug++) {
      await plugDisk(disk);
      await guest.says(`PLUGGED-${plug}`);
      expect(guestMappings(disk)).toBeGreaterThan(0);
      await guest.qmp('stop');
      await guest.qmp('cont');
      await unplugDisk();
      await waitFor(
        () => `${fds} fds and no mapping as before; there are ${openFds(disk)}`,
        5000,
        () => (openFds(disk) === fds && guestMappings(disk) === 0) || undefined,
      );
    }
  });

  test('every byte was right, in memory below, above and beside 4 GiB', async () => {
    report = await guest.finish();
    expect(report.values('wrong')).toEqual([]);
    expect(Number(report.value('rounds'))).toBeGreaterThan(5);
    expect(report.value('fsck')).toBe('clean');
    const kib = (name: string) => Number(report.value(name));
    expect(kib('memory-kib')).toBeGreaterThan(4.5 * 2 ** 20);
    expect(kib('memory-plugged-kib') - kib('memory-kib')).toBe(DIMMS * DIMM_MIB * 1024);
    expect(kib('memory-unplugged-kib')).toBe(kib('memory-kib'));
    expect(kib('plugged-pages-used')).toBeGreaterThan(1000);
    for (const disk of disks) {
      const summary = await disk.stop();
      expect(summary['guestViolations'], disk.name).toBe(0);
      expect(summary['errors'], disk.name).toBe(0);
    }
  });
});
