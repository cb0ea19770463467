/**
 * aes-xts-plain64 against the kernel's dm-crypt, set up by cryptsetup in a guest: what vloop has encrypted dm-crypt
 * reads, and what dm-crypt has written vloop reads; in units of 512 and of 4096 bytes, and from an IV offset on.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requireCryptsetup, requireGuestAssets } from '../support/guest-assets.ts';
import { GuestLab } from '../support/guest-lab.ts';
import type { GuestReport } from '../support/guest-vm.ts';
import { noise } from '../support/image-content.ts';
import { type BlkRequestText, blk } from '../support/mock-driver-blk.ts';
import { ServedDisk } from '../support/served-disk.ts';

const MIB = 2 ** 20;
/** Each image has two halves that are encrypted in different ways. */
const HALF = MIB;
const HALF_SECTORS = HALF / 512;
const PIECE = 64 * 1024;
const KEY = noise(64, 20201);

const WAYS = [
  { sectorSize: 512, ivOffset: 0 },
  { sectorSize: 4096, ivOffset: 80 },
] as const;

const opened = await requireGuestAssets('dm-crypt');
const crypt = opened.ok ? await requireCryptsetup('dm-crypt') : null;

const script = `
set -e
modprobe -a dm_mod dm_crypt xts
modprobe aesni_intel 2>/dev/null || true
export DM_DISABLE_UDEV=1
mkdir -p /run/cryptsetup
echo ${KEY.toString('base64')} | base64 -d >/tmp/key
# opens DISK NAME HALF SECTOR-SIZE IV-OFFSET
opens() {
  cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --key-file /tmp/key \\
    --offset $(($3 * ${HALF_SECTORS})) --size ${HALF_SECTORS} --sector-size $4 --skip $5 $1 $2 2>/tmp/said ||
    { cat /tmp/said; exit 1; }
}
for way in "0 512 0" "1 4096 80"; do
  set -- $way
  opens /dev/vda theirs$1 $way
  echo "RESULT read-$2 $(sha256sum </dev/mapper/theirs$1)"
  opens /dev/vdb ours$1 $way
  # Data of its own: what it has read, moved by a block, so that each sector is another one's.
  cat /dev/mapper/theirs$1 /dev/mapper/theirs$1 | dd bs=4096 skip=1 count=$((${HALF} / 4096)) of=/tmp/plain$1 2>/dev/null
  dd if=/tmp/plain$1 of=/dev/mapper/ours$1 bs=64k conv=fsync 2>/dev/null
  cryptsetup close ours$1
  cryptsetup close theirs$1
done
sync
`;

/** Serves one half of an image as a disk of its own, and hands its queue out. */
async function through<T>(
  { sectorSize, ivOffset }: (typeof WAYS)[number],
  image: Uint8Array,
  use: (run: (text: BlkRequestText) => Promise<Uint8Array>) => Promise<T>,
): Promise<{ result: T; image: Buffer }> {
  const disk = new ServedDisk({ content: image });
  try {
    const key = join(disk.directory, 'key');
    writeFileSync(key, KEY);
    await disk.startVloop([
      ...['--transfer=aes-xts-plain64', `--key-file=${key}`, `--block-size=${sectorSize}`],
      `--transfer-options=sector_size=${sectorSize},iv_offset=${ivOffset}`,
    ]);
    const { queue } = await disk.connect();
    const result = await use(async (text) => {
      const { status, data } = await queue.run(text);
      if (status !== 0) throw new Error(`status ${status}`);
      return data;
    });
    const { status } = await disk.stopVloop();
    if (status !== 0) throw new Error(`vloop ended with ${status}`);
    return { result, image: disk.imageBytes() };
  } finally {
    await disk.close();
  }
}

async function encryptedByVloop(way: (typeof WAYS)[number], plain: Buffer): Promise<Buffer> {
  const { image } = await through(way, new Uint8Array(HALF), async (run) => {
    for (let at = 0; at < HALF; at += PIECE) {
      await run(blk.write(at / 512, plain.subarray(at, at + PIECE)));
    }
    await run({ type: 4 });
  });
  return image;
}

async function decryptedByVloop(way: (typeof WAYS)[number], image: Uint8Array): Promise<Buffer> {
  const { result } = await through(way, image, async (run) => {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < HALF; at += PIECE) pieces.push(await run(blk.read(at / 512, PIECE)));
    return Buffer.concat(pieces);
  });
  return result;
}

describe.skipIf(crypt === null)('dm-crypt', () => {
  const plain = WAYS.map((_, half) => noise(HALF, 31 + half));
  let lab: GuestLab;
  let report: GuestReport;
  let written: Buffer;

  beforeAll(async () => {
    if (!opened.ok || crypt === null) return;
    lab = new GuestLab(opened.assets);
    const halves = [];
    for (const [half, way] of WAYS.entries()) {
      halves.push(await encryptedByVloop(way, plain[half]!));
    }
    const image = join(lab.folder, 'theirs.img');
    writeFileSync(image, Buffer.concat(halves));
    const theirs = await lab.disk('theirs', { image, vloop: ['--read-only'] });
    const ours = await lab.disk('ours', { sizeBytes: 2 * HALF });
    const guest = await lab.boot({
      script,
      archives: [crypt],
      arguments: [...theirs.qemuArguments(), ...ours.qemuArguments()],
    });
    report = await guest.finish();
    await theirs.stop();
    await ours.stop();
    written = readFileSync(ours.image);
  });

  afterAll(() => lab?.close());

  describe.each(WAYS)('sector_size=$sectorSize, iv_offset=$ivOffset', (way) => {
    const half = WAYS.indexOf(way);

    test('reads what vloop has written', () => {
      const sum = createHash('sha256').update(plain[half]!).digest('hex');
      expect(report.value(`read-${way.sectorSize}`)).toBe(`${sum}  -`);
    });

    test('writes what vloop reads', async () => {
      const bytes = await decryptedByVloop(way, written.subarray(half * HALF, (half + 1) * HALF));
      const twice = Buffer.concat([plain[half]!, plain[half]!]);
      expect(bytes.equals(twice.subarray(4096, 4096 + HALF))).toBe(true);
    });
  });
});
