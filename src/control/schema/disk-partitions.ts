/**
 * What disk_get_partitions answers: the partition table as the guest's kernel reads it. Bytes, counted from the
 * disk's start.
 */
import { recordOf, type ValueOf } from './json-schema.ts';

const TEXT_OR_NULL = { anyOf: [{ type: 'string' }, { type: 'null' }] } as const;

export const diskPartitions = recordOf({
  table: {
    enum: ['dos', 'gpt', null],
    description: 'null: there is none, or none that is understood',
  },
  id: { ...TEXT_OR_NULL, description: 'of the disk' },
  damage: {
    type: 'array',
    items: { type: 'string' },
    description: 'what is wrong with the table and was got around',
  },
  partitions: {
    type: 'array',
    items: recordOf({
      number: { type: 'integer' },
      start: { type: 'integer', description: 'bytes' },
      size: { type: 'integer', description: 'bytes' },
      type: { type: 'string', description: 'a GUID, or 0x83' },
      type_name: TEXT_OR_NULL,
      name: TEXT_OR_NULL,
      uuid: { ...TEXT_OR_NULL, description: 'PARTUUID' },
      bootable: { type: 'boolean' },
      problem: { ...TEXT_OR_NULL, description: 'why it cannot be used' },
    }),
  },
});

export type DiskPartitions = ValueOf<typeof diskPartitions>;
