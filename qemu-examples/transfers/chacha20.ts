/**
 * A transfer module of one's own, to be copied from: each sector is combined with a keystream of ChaCha20 that the key
 * and the sector's number choose. It shows the interface; it is no disk cipher (whoever has two versions of a sector
 * can combine them). Use: vloop serve disk.img --transfer=./chacha20.ts --key-file=key, where key has 32 bytes.
 */
import { createCipheriv } from 'node:crypto';
import { defineTransfer } from '../../src/loop/transfer-module.ts';

const SECTOR_BYTES = 512;

interface Scrambler {
  readonly key: Buffer;
  /** What ChaCha20 starts with: a counter of 32 bits, then 96 bits that must differ from sector to sector. */
  readonly nonce: Buffer;
  sectorsRead: number;
  sectorsWritten: number;
}

export default defineTransfer<Scrambler>({
  // From 2 to 17; the others are vloop's own.
  number: 2,
  name: 'chacha20',
  owner: 'qemu-examples',
  keyBytes: [32],

  // Once in each worker, and once more at the start to see whether all is well. The key is wiped afterwards.
  init(device) {
    const unknown = Object.keys(device.options)[0];
    if (unknown !== undefined) throw new Error(`option ${unknown} means nothing here`);
    const key = Buffer.from(device.key);
    device.keyData = { key, nonce: Buffer.alloc(16), sectorsRead: 0, sectorsWritten: 0 };
    return { unitBytes: SECTOR_BYTES, sectorsOf: 'disk', directIo: true };
  },

  // Changes the bytes where they are. Nothing is answered when all went well; what is thrown fails the request.
  transfer({ keyData }, command, bytes, sector) {
    const { key, nonce } = keyData!;
    for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
      nonce.writeBigUInt64LE(BigInt(sector + at / SECTOR_BYTES), 8);
      const unit = bytes.subarray(at, at + SECTOR_BYTES);
      unit.set(createCipheriv('chacha20', key, nonce).update(unit));
    }
    const sectors = bytes.length / SECTOR_BYTES;
    if (command === 'read') keyData!.sectorsRead += sectors;
    else keyData!.sectorsWritten += sectors;
    return undefined;
  },

  release({ keyData }) {
    keyData?.key.fill(0);
  },

  // vloop rpc disk_transfer_ioctl '{"disk": "disk.img", "command": "sectors"}'
  ioctl({ keyData }, command) {
    if (command !== 'sectors') throw new Error(`${command}: expected sectors`);
    return { read: keyData!.sectorsRead, written: keyData!.sectorsWritten };
  },
});
