/**
 * The transfer modules that encrypt: what the kernel's cryptoloop wrote (drivers/block/cryptoloop.c, aes-cbc; for old
 * images only: its IVs are sector numbers, so that files can be recognised without the key), and dm-crypt's
 * aes-xts-plain64 (drivers/md/dm-crypt.c) with the parameters of its table line.
 */
import { EIO } from '../../protocol/linux.ts';
import {
  defineTransfer,
  TRANSFER_NUMBER_CRYPTOLOOP,
  TRANSFER_NUMBER_XTS,
  type TransferDevice,
} from '../loop/transfer-module.ts';
import { EvpCipher, type EvpUnits } from '../sys/evp-cipher.ts';

const SECTOR_BYTES = 512;

/** The numbers of IVs, from the sectors that a transfer is told of. */
interface UnitCipher {
  readonly cipher: EvpCipher;
  /** Added to the sector number. */
  readonly ivOffset: number;
  /** Sectors that an IV's number counts by. */
  readonly ivSectors: number;
}

function openCipher(name: string, key: Uint8Array, units: EvpUnits): EvpCipher {
  const cipher = EvpCipher.open(name, key, units);
  if (cipher !== null) return cipher;
  throw new Error(
    `OpenSSL refuses ${name} with this key (the two halves of an XTS key must differ)`,
  );
}

function transform(
  { keyData, bufferAddress }: TransferDevice<UnitCipher>,
  command: 'read' | 'write',
  bytes: Uint8Array,
  sector: number,
): number {
  const { cipher, ivOffset, ivSectors } = keyData!;
  const address = bufferAddress + bytes.byteOffset;
  const number = (sector + ivOffset) / ivSectors;
  return cipher.run(command === 'write', address, bytes.length, number) === 0 ? 0 : -EIO;
}

function release({ keyData }: TransferDevice<UnitCipher>): void {
  keyData?.cipher.close();
}

function refuseUnknown(options: Readonly<Record<string, string>>, known: readonly string[]): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const expected = known.length === 0 ? 'none' : known.join(', ');
  throw new Error(`unknown option ${unknown}, expected ${expected}`);
}

function flag(options: Readonly<Record<string, string>>, name: string): boolean {
  const value = options[name];
  if (value === undefined || value === 'off') return false;
  if (value === 'on' || value === '') return true;
  throw new Error(`${name}=${value}, expected on or off`);
}

function wholeNumber(options: Readonly<Record<string, string>>, name: string): number {
  const value = options[name] ?? '0';
  // The disk's own sectors are added: 2^52 of them are more than any file has.
  if (/^\d{1,15}$/.test(value)) return Number(value);
  throw new Error(`${name}=${value}, expected a number of 512-byte sectors below 10^15`);
}

export const cryptoloopTransfer = defineTransfer<UnitCipher>({
  number: TRANSFER_NUMBER_CRYPTOLOOP,
  name: 'cryptoloop-aes-cbc',
  keyBytes: [16, 24, 32],
  init(device) {
    refuseUnknown(device.options, []);
    const { key } = device;
    const units: EvpUnits = { unitBytes: SECTOR_BYTES, ivStep: 1, ivBytes: 4 };
    const cipher = openCipher(`aes-${key.length * 8}-cbc`, key, units);
    device.keyData = { cipher, ivOffset: 0, ivSectors: 1 };
    return undefined;
  },
  transfer: transform,
  release,
});

const XTS_OPTIONS = ['iv_offset', 'sector_size', 'iv_large_sectors', 'allow_discards'];

export const aesXtsTransfer = defineTransfer<UnitCipher>({
  number: TRANSFER_NUMBER_XTS,
  name: 'aes-xts-plain64',
  keyBytes: [32, 64],
  init(device) {
    const { key, options } = device;
    refuseUnknown(options, XTS_OPTIONS);
    const sectorSize = options['sector_size'] ?? '512';
    if (!['512', '1024', '2048', '4096'].includes(sectorSize)) {
      throw new Error(`sector_size=${sectorSize}, expected 512, 1024, 2048 or 4096`);
    }
    const unitBytes = Number(sectorSize);
    const sectors = unitBytes / SECTOR_BYTES;
    const ivOffset = wholeNumber(options, 'iv_offset');
    const large = flag(options, 'iv_large_sectors');
    if (ivOffset % sectors !== 0) {
      throw new Error(`iv_offset=${ivOffset}, expected a multiple of ${sectors} sectors`);
    }
    const units: EvpUnits = { unitBytes, ivStep: large ? 1 : sectors, ivBytes: 8 };
    const cipher = openCipher(`aes-${key.length * 4}-xts`, key, units);
    device.keyData = { cipher, ivOffset, ivSectors: large ? sectors : 1 };
    const discard = flag(options, 'allow_discards');
    return { unitBytes, sectorsOf: 'disk', directIo: true, discard };
  },
  transfer: transform,
  release,
});
