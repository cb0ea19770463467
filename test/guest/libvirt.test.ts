/**
 * qemu-examples/libvirt-domain.xml under Debian's libvirt: the file as it is, with a socket, a kernel and a place for the
 * serial console filled in. The guest writes and reads back while vloop is killed and started again, sees a new size, and
 * is ended by virsh.
 */
import { createHash } from 'node:crypto';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitFor } from '../support/bounded-process.ts';
import { requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';
import { filledIn, LibvirtSession, requireLibvirt } from '../support/libvirt-session.ts';

const WHAT = 'a domain of libvirt';
const opened = await requireGuestAssets(WHAT);
const libvirt = opened.ok ? await requireLibvirt(WHAT) : opened;
const EXAMPLE = join(import.meta.dirname, '../../qemu-examples/libvirt-domain.xml');
const NAME = 'vloop-guest';
const MIB = 2 ** 20;
const BOOT_TIMEOUT_MS = 60_000;
/** QEMU 7.2's TCG loses a machine now and then, before its script has begun. */
const BOOT_ATTEMPTS = 3;
const SAYS_TIMEOUT_MS = 60_000;
const ROUNDS_AFTER_KILL = 3;

/** Until the disk has grown, which says that the test has seen enough. */
const script = `
set -e
echo "RESULT serial $(cat /sys/block/vda/serial)"
echo "RESULT queues $(ls /sys/block/vda/mq | wc -l)"
before=$(cat /sys/block/vda/size)
echo "RESULT size $before"
dd if=/dev/urandom of=/tmp/source bs=1M count=2 2>/dev/null
rounds=0
while [ $(cat /sys/block/vda/size) = $before ]; do
  rounds=$((rounds + 1))
  { echo $rounds; tail -c +$((rounds * 512 % 500000)) /tmp/source; } >/tmp/written
  dd if=/tmp/written of=/dev/vda bs=64k seek=$((rounds % 8 * 64)) conv=notrunc,fsync 2>/dev/null
  echo 1 >/proc/sys/vm/drop_caches
  dd if=/dev/vda bs=64k skip=$((rounds % 8 * 64)) count=33 2>/dev/null | head -c $(wc -c </tmp/written) | cmp - /tmp/written
  echo "ROUND $rounds"
done
echo "RESULT grown $(cat /sys/block/vda/size)"
echo "RESULT sum $(dd if=/dev/vda bs=1M count=32 2>/dev/null | sha256sum)"
dmesg | grep -i 'I/O error' | sed 's/^/RESULT kernel /' || true
echo GUEST-DONE
sleep 1000
`;

describe.skipIf(!opened.ok || !libvirt.ok)('a domain of libvirt', () => {
  let lab: GuestLab;
  let disk: GuestDisk;
  let session: LibvirtSession;
  const path = (name: string) => join(lab.folder, name);
  const options = { sizeBytes: 32 * MIB, vloop: ['--serial=libvirt-disk', '--num-queues=2'] };

  beforeAll(async () => {
    if (!opened.ok || !libvirt.ok) return;
    lab = new GuestLab(opened.assets);
    disk = await lab.disk('disk', options);
    session = new LibvirtSession(libvirt.tree, path('libvirt'));
    writeFileSync(path('script'), script);
    const { base } = opened.assets;
    const kernel = `<kernel>${base}/vmlinuz</kernel><initrd>${base}/guest.cpio</initrd>
    <cmdline>console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off</cmdline>`;
    // Emulated wherever it runs; QEMU 7.2's TCG gets cmpxchg16b wrong now and then.
    const processor = `<cpu mode='maximum'><feature policy='disable' name='cx16'/></cpu>`;
    const entry = `<entry name='opt/vloop/script' file='${path('script')}'/>`;
    const domain = filledIn(readFileSync(EXAMPLE, 'utf8'), [
      ["<domain type='kvm'>", "<domain type='qemu'>"],
      ['  <os>', `  ${processor}<sysinfo type='fwcfg'>${entry}</sysinfo>\n  <os>`],
      ["    <boot dev='hd'/>", `    <boot dev='hd'/>\n    ${kernel}`],
      ["'/run/vloop-disks/disk.sock'", `'${disk.socket}'`],
      [
        "<serial type='pty'/>",
        `<serial type='file'><source path='${path('serial')}' append='off'/></serial>`,
      ],
    ]);
    writeFileSync(path('domain.xml'), domain);
  });

  afterAll(async () => {
    await session?.kill();
    await lab?.close();
  });

  const serial = () => readFileSync(path('serial'), 'latin1').replaceAll('\r', '');
  const results = (name: string) =>
    serial()
      .split('\n')
      .filter((line) => line.startsWith(`RESULT ${name} `))
      .map((line) => line.slice(`RESULT ${name} `.length));
  const rounds = () =>
    serial()
      .split('\n')
      .filter((line) => /^ROUND \d+$/.test(line)).length;

  const story = () =>
    `vloop: ${disk.process.output}\n${session.story}\nthe guest: ${serial().slice(-1500)}`;

  async function comes(what: string, timeoutMs: number, probe: () => boolean): Promise<void> {
    await waitFor(
      () => `${what}; ${story()}`,
      timeoutMs,
      () => {
        if (serial().includes('GUEST-RC')) throw new Error(`the script ended; ${story()}`);
        return probe() || undefined;
      },
    );
  }

  async function create(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      writeFileSync(path('serial'), '');
      await session.run(`create ${path('domain.xml')}`);
      try {
        await comes('GUEST-READY', BOOT_TIMEOUT_MS, () => serial().includes('GUEST-READY'));
        return;
      } catch (error) {
        if (attempt === BOOT_ATTEMPTS) throw error;
        process.stderr.write(`${(error as Error).message}\nstarted again (attempt ${attempt})\n`);
        await session.run(`destroy ${NAME}`);
      }
    }
  }

  const connected = () => disk.process.output.includes('front-end connected');

  test('the example boots, and its guest has the disk', async () => {
    await create();
    await comes('a round', SAYS_TIMEOUT_MS, () => rounds() > 0);
    expect(await session.run(`domstate ${NAME}`)).toBe('running');
    expect(await session.run(`domblklist ${NAME}`)).toMatch(/vda\s+\S+\/disk\.sock$/);
    expect(results('serial')).toEqual(['libvirt-disk']);
    expect(results('queues')).toEqual(['2']);
    expect(results('size')).toEqual([`${(32 * MIB) / 512}`]);
    // What the domain asks of libvirt arrives at QEMU.
    expect(session.qemuCommand).toMatch(/"qom-type":"memory-backend-memfd"[^\n]*"share":true/);
    expect(session.qemuCommand).toContain(`path=${disk.socket},reconnect=1`);
  });

  test('vloop is killed and started again, and the guest goes on', async () => {
    await comes('some rounds', SAYS_TIMEOUT_MS, () => rounds() > 1);
    await disk.process.kill();
    disk = await lab.disk('disk', options);
    await comes('front-end', SAYS_TIMEOUT_MS, connected);
    const until = rounds() + ROUNDS_AFTER_KILL;
    await comes(`round ${until}`, SAYS_TIMEOUT_MS, () => rounds() >= until);
    expect(await session.run(`domstate ${NAME}`)).toBe('running');
  });

  test('a new size is seen, the data are in the image, virsh ends the machine', async () => {
    truncateSync(disk.image, 48 * MIB);
    disk.process.signal('SIGHUP');
    await comes('GUEST-DONE', SAYS_TIMEOUT_MS, () => serial().includes('GUEST-DONE'));
    expect(results('grown')).toEqual([`${(48 * MIB) / 512}`]);
    expect(results('kernel')).toEqual([]);
    const image = readFileSync(disk.image).subarray(0, 32 * MIB);
    const [sum = ''] = results('sum');
    expect(createHash('sha256').update(image).digest('hex')).toBe(sum.split(' ')[0]);
    await session.run(`destroy ${NAME}`);
    expect(await session.run('list --all --name')).toBe('');
    await comes('the end of the connection', SAYS_TIMEOUT_MS, () =>
      disk.process.output.includes('front-end disconnected'),
    );
    expect(await session.quit()).toBe(0);
    const summary = await disk.stop();
    expect(summary).toMatchObject({ errors: 0, guestViolations: 0 });
    for (const counter of ['reads', 'writes', 'flushes', 'bytesRead', 'bytesWritten'])
      expect(summary[counter], counter).toBeGreaterThan(0);
  });
});
