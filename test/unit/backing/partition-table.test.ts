/**
 * Partition tables: what sfdisk says of its own tables is what is read; a damaged GPT is read from its backup; chains
 * that lead nowhere or around end; what is no table is none.
 */
import { describe, expect, test } from 'vitest';
import { readPartitionTable } from '../../../src/backing/partition-table.ts';
import { BytesDisk, partitionedBytes, sfdiskDump } from '../../support/partition-image.ts';

const table = (bytes: Uint8Array, blockSizeBytes = 512) =>
  readPartitionTable(new BytesDisk(bytes, blockSizeBytes));

/** Where sfdisk put the extended partition, and the type byte and start of the second record of its first link. */
const EXTENDED_AT = 17825792;
const SECOND_RECORD = 446 + 16;

test.each(['dos', 'gpt'] as const)(
  '%s: the partitions are those of sfdisk --dump',
  async (kind) => {
    const read = await table(partitionedBytes(kind));
    expect(read).toMatchObject({ kind, damage: [] });
    const dumped = sfdiskDump(kind);
    expect(dumped.length).toBe(kind === 'dos' ? 5 : 3);
    const spelled = read!.partitions.map((partition) => ({
      number: partition.number,
      offsetBytes: partition.offsetBytes,
      sizeBytes: partition.sizeBytes,
      type: kind === 'dos' ? Number(partition.type).toString(16) : partition.type,
      uuid: kind === 'dos' ? undefined : partition.uuid!.toUpperCase(),
      name: partition.name ?? undefined,
      bootable: partition.bootable,
    }));
    expect(spelled).toEqual(dumped);
  },
);

test('names and UUIDs are those that Linux has', async () => {
  const dos = await table(partitionedBytes('dos'));
  expect(dos!.id).toMatch(/^[0-9a-f]{8}$/);
  expect(dos!.partitions.map(({ uuid }) => uuid)).toEqual(
    ['01', '02', '03', '04', '05'].map((number) => `${dos!.id}-${number}`),
  );
  expect(dos!.partitions.map(({ extended }) => extended)).toEqual([
    false,
    false,
    true,
    false,
    false,
  ]);
  const gpt = await table(partitionedBytes('gpt'));
  expect(gpt!.partitions.map(({ typeName }) => typeName)).toEqual([
    'EFI System',
    'Linux filesystem',
    'Linux swap',
  ]);
});

describe('a GPT', () => {
  test.each([
    ['header', 512 + 56],
    ['entries', 1024 + 40],
  ])('whose first %s is damaged is read from its backup, which is told', async (_, at) => {
    const bytes = partitionedBytes('gpt');
    const whole = await table(bytes);
    bytes[at]! ^= 0xff;
    const read = await table(bytes);
    expect(read!.partitions).toEqual(whole!.partitions);
    expect(read!.damage).toEqual([expect.stringMatching(/checksum.*backup/)]);
  });

  test('of which both are damaged is none, and so is one of other blocks', async () => {
    const bytes = partitionedBytes('gpt');
    expect(await table(bytes, 4096)).toBeNull();
    bytes[512 + 56]! ^= 0xff;
    bytes[bytes.length - 512 + 56]! ^= 0xff;
    expect(await table(bytes)).toBeNull();
  });

  test('without a protective record is none, as Linux has it', async () => {
    const bytes = partitionedBytes('gpt');
    bytes[446 + 4] = 0;
    bytes.fill(0, 446, 510);
    expect(await table(bytes)).toBeNull();
  });
});

describe('a chain of logical partitions', () => {
  test('that leads around ends, and is told', async () => {
    const bytes = partitionedBytes('dos');
    const link = bytes.subarray(EXTENDED_AT);
    link[SECOND_RECORD + 4] = 0x05;
    link.writeUInt32LE(0, SECOND_RECORD + 8);
    link.writeUInt32LE(1, SECOND_RECORD + 12);
    const disk = new BytesDisk(bytes);
    const read = await readPartitionTable(disk);
    expect(read!.damage).toEqual(['there are more than 255 partitions']);
    expect(disk.reads).toBeLessThan(300);
  });

  test('that leads around without a partition ends, and is told', async () => {
    const bytes = partitionedBytes('dos');
    const link = bytes.subarray(EXTENDED_AT);
    link.fill(0, 446, 510);
    link[446 + 4] = 0x05;
    link.writeUInt32LE(1, 446 + 12);
    const disk = new BytesDisk(bytes);
    const read = await readPartitionTable(disk);
    expect(read!.damage).toEqual(['the chain of logical partitions has 100 links without one']);
    expect(disk.reads).toBe(101);
  });

  test('keeps to what Linux takes: no garbage in the last records, any boot indicator', async () => {
    const bytes = partitionedBytes('dos');
    const link = bytes.subarray(EXTENDED_AT);
    const whole = await table(bytes);
    link[446] = 0x5a;
    link[446 + 32 + 4] = 0x83;
    link.writeUInt32LE(1, 446 + 32 + 8);
    link.writeUInt32LE(0xfffffff, 446 + 32 + 12);
    expect((await table(bytes))!.partitions).toEqual(whole!.partitions);
    link.writeUInt32LE(1, 446 + 32 + 12);
    const { partitions } = (await table(bytes))!;
    expect(partitions.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(partitions[5]).toMatchObject({ offsetBytes: EXTENDED_AT + 512, sizeBytes: 512 });
  });

  test.each([
    ['beyond the end', 0x7fffffff],
    ['to no link', 8],
  ])('that leads %s keeps what was found before', async (_, block) => {
    const bytes = partitionedBytes('dos');
    const link = bytes.subarray(EXTENDED_AT);
    link[SECOND_RECORD + 4] = 0x05;
    link.writeUInt32LE(block, SECOND_RECORD + 8);
    link.writeUInt32LE(1, SECOND_RECORD + 12);
    const read = await table(bytes);
    expect(read!.partitions.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5]);
    expect(read!.damage).toEqual([expect.stringMatching(/leads to block \d+, which is no link/)]);
  });
});

test.each([
  ['nothing', (bytes: Buffer) => bytes.fill(0)],
  ['no signature', (bytes: Buffer) => bytes.fill(0, 510, 512)],
  ['boot code where records would be', (bytes: Buffer) => bytes.fill(0x5a, 446, 510)],
  ['a signature alone', (bytes: Buffer) => bytes.fill(0).writeUInt16LE(0xaa55, 510)],
])('a disk with %s has no table', async (_, spoil) => {
  const bytes = partitionedBytes('dos').subarray(0, 65536);
  spoil(bytes);
  expect(await table(bytes)).toBeNull();
});

test('a disk that is smaller than a sector has none', async () => {
  expect(await table(new Uint8Array(100))).toBeNull();
});
