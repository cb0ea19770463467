/**
 * Partition tables that anybody may have written: whatever the bytes are, reading them ends, reads little, throws
 * nothing, and answers numbers that are some.
 */
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, test } from 'vitest';
import { gptHeader } from '../../protocol/partition-tables.ts';
import { readPartitionTable } from '../../src/backing/partition-table.ts';
import { BytesDisk, partitionedBytes } from '../support/partition-image.ts';
import { holdsAsync } from '../support/property.ts';

/** Headers, entries, links and the backup: everything else is data. */
const PLACES = {
  dos: [0, 512, 17825792, 18874368],
  gpt: [0, 512, 1024, 67091968, 67108352],
} as const;

const damage = (kind: 'dos' | 'gpt') =>
  fc.array(
    fc.record({
      place: fc.constantFrom(...PLACES[kind]),
      at: fc.nat(511),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 16 }),
    }),
    { minLength: 1, maxLength: 6 },
  );

/** Reads the table, and whether what it took and what it answers are in bounds. */
async function isReadInBounds(bytes: Uint8Array): Promise<boolean> {
  const disk = new BytesDisk(bytes);
  const table = await readPartitionTable(disk);
  const numbers = (table?.partitions ?? []).flatMap(({ number, offsetBytes, sizeBytes }) => [
    number,
    offsetBytes,
    sizeBytes,
  ]);
  return (
    numbers.every((number) => Number.isFinite(number) && number >= 0) &&
    (table?.partitions.length ?? 0) <= 255 &&
    disk.reads <= 4 * (255 + 100) + 5 &&
    disk.bytesRead <= 2 ** 20
  );
}

describe.each(['dos', 'gpt'] as const)('a damaged %s table', (kind) => {
  const whole = partitionedBytes(kind);

  test('is read in a bounded way', async () => {
    await holdsAsync(damage(kind), async (spoiled) => {
      const undo = spoiled.map(({ place, at, bytes }) => {
        const from = place + at;
        const before = Uint8Array.from(whole.subarray(from, from + bytes.length));
        whole.set(bytes.subarray(0, before.length), from);
        return () => whole.set(before, from);
      });
      try {
        return await isReadInBounds(whole);
      } finally {
        for (const step of undo.reverse()) step();
      }
    });
  });
});

test('a GPT with any numbers and right checksums is read in a bounded way', async () => {
  const whole = partitionedBytes('gpt').subarray(0, 2 ** 20);
  const header = whole.subarray(512, 1024);
  const before = Buffer.from(header);
  const { at } = gptHeader;
  await holdsAsync(
    fc.record({
      headerBytes: fc.oneof(fc.constant(92), fc.nat(1024)),
      entriesBlock: fc.oneof(fc.constant(2n), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
      count: fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 0xffffffff })),
      entryBytes: fc.oneof(fc.constantFrom(128, 256, 4096, 8192), fc.nat(0xffffffff)),
      firstEntry: fc.uint8Array({ minLength: 128, maxLength: 128 }),
    }),
    async ({ headerBytes, entriesBlock, count, entryBytes, firstEntry }) => {
      header.set(before);
      whole.set(firstEntry, 1024);
      header.writeUInt32LE(headerBytes, at.HeaderSize);
      header.writeBigUInt64LE(entriesBlock, at.PartitionEntryLBA);
      header.writeUInt32LE(count, at.NumberOfPartitionEntries);
      header.writeUInt32LE(entryBytes, at.SizeOfPartitionEntry);
      const entries = whole.subarray(1024, Math.min(1024 + count * entryBytes, whole.length));
      header.writeUInt32LE(crc32(entries), at.PartitionEntryArrayCRC32);
      header.fill(0, at.HeaderCRC32, at.HeaderCRC32 + 4);
      header.writeUInt32LE(crc32(header.subarray(0, Math.min(headerBytes, 512))), at.HeaderCRC32);
      return await isReadInBounds(whole);
    },
  );
});
