/**
 * protocol/ against the C headers of this machine: every layout and every constant that has a
 * counterpart in the kernel's UAPI (or in glibc, where that defines the struct) has its size, its
 * offsets and its value. Names that the installed headers do not have show up as skipped tests.
 */
import { describe, expect, test } from 'vitest';
import * as ioUring from '../../protocol/io-uring.ts';
import { type Codes, fieldSizeBytes, type Layout } from '../../protocol/layout.ts';
import * as linux from '../../protocol/linux.ts';
import { allLayouts } from '../../protocol/readme.ts';
import * as virtioBlk from '../../protocol/virtio-blk.ts';
import * as virtioRing from '../../protocol/virtio-ring.ts';
import { missingCompiler } from '../support/requires.ts';
import { uapiFacts } from '../support/uapi-facts.ts';

/**
 * Structs that no C header declares: those of vhost-user (see vhost-user-golden.test.ts), the ring of Linux AIO, which
 * only fs/aio.c and its users know, and partition tables (unit/backing/partition-table.test.ts has sfdisk's).
 */
const WITHOUT_HEADER = [
  'aio_ring',
  'vhost_user_header',
  'u64',
  'vhost_single_memory_region',
  'vhost_user_config',
  'vhost_user_inflight',
  'vhost_user_log',
  'vhost_transfer_state',
  'disk_state',
  'QueueRegionSplit',
  'DescStateSplit',
  'QueueRegionPacked',
  'DescStatePacked',
  'MBR partition record',
  'GPT header',
  'GPT partition entry',
];

/** Fields that are spelt otherwise in C; null = padding that C leaves unnamed or lays out otherwise. */
const C_FIELD: Readonly<Record<string, string | null>> = {
  'vhost_iotlb_msg.padding': null,
  'flock.pad': null,
  'flock.pad2': null,
  'statx.unread': null,
  'statx.spare': null,
  'msghdr.pad0': null,
  'msghdr.pad1': null,
  'io_uring_sqe.pad2': '__pad2',
  'virtio_blk_config.cylinders': 'geometry.cylinders',
  'virtio_blk_config.heads': 'geometry.heads',
  'virtio_blk_config.sectors': 'geometry.sectors',
  'vhost_memory_region.guest_addr': 'guest_phys_addr',
  'vhost_memory_region.size': 'memory_size',
  'vhost_memory_region.user_addr': 'userspace_addr',
  // vhost-user puts the mmap offset where the kernel's vhost has unused flags.
  'vhost_memory_region.mmap_offset': 'flags_padding',
};

/** Numbers that are the spec's, vhost-user's or vloop's own: no C header names them. */
const WITHOUT_C_NAME = [
  'AIO_RING_MAGIC',
  'VIRTQUEUE_SIZE_MAX',
  'PACKED_EVENT_ALIGN_SIZE',
  'VHOST_USER_F_PROTOCOL_FEATURES',
  'VIRTIO_BLK_F_LIFETIME',
  'VIRTIO_BLK_T_FLUSH_OUT',
  'VIRTIO_BLK_T_GET_LIFETIME',
  'SECTOR_SIZE',
];

/** What headers of older kernels lack. Anything else that is absent is a name misspelt here. */
const ADDED_LATER: Readonly<Record<string, string>> = {
  'VALUE(VIRTIO_F_NOTIFICATION_DATA)': '6.4',
  'VALUE(VIRTIO_BLK_F_SECURE_ERASE)': '6.0',
  'VALUE(VIRTIO_BLK_F_ZONED)': '6.3',
  'FIELD(virtio_blk_config, zoned)': '6.3',
  'FIELD(io_sqring_offsets, user_addr)': '6.5',
  'FIELD(io_cqring_offsets, user_addr)': '6.5',
  'FIELD(virtio_blk_config, max_secure_erase_sectors)': '6.0',
  'FIELD(virtio_blk_config, max_secure_erase_seg)': '6.0',
  'FIELD(virtio_blk_config, secure_erase_sector_alignment)': '6.0',
  'VALUE(VIRTIO_BLK_T_SECURE_ERASE)': '6.0',
  'VALUE(STATX_DIOALIGN)': '6.1',
  'FIELD(statx, stx_dio_mem_align)': '6.1',
  'FIELD(statx, stx_dio_offset_align)': '6.1',
  'VALUE(IORING_SETUP_DEFER_TASKRUN)': '6.1',
  'VALUE(IORING_SETUP_SINGLE_ISSUER)': '6.0',
};

const layouts = allLayouts()
  .map(([, layout]) => layout)
  .filter(({ name }) => !WITHOUT_HEADER.includes(name));

function cFields(layout: Layout): Array<readonly [field: string, cField: string]> {
  return Object.keys(layout.fields).flatMap((field) => {
    const cField = C_FIELD[`${layout.name}.${field}`];
    return cField === null ? [] : [[field, cField ?? field] as const];
  });
}

function constants(): Map<string, number> {
  const found = new Map<string, number>();
  for (const module of [virtioRing, virtioBlk, ioUring, linux]) {
    for (const [name, value] of Object.entries(module) as Array<[string, unknown]>) {
      if (typeof value === 'number') found.set(name, value);
      if (typeof value === 'object' && value !== null && 'nameOf' in value) {
        for (const [code, number] of Object.entries((value as Codes).values)) {
          found.set(code, number);
        }
      }
    }
  }
  for (const name of WITHOUT_C_NAME) found.delete(name);
  return found;
}

const reason = missingCompiler();
const facts =
  reason === null
    ? uapiFacts([
        ...layouts.flatMap((layout) => [
          `SIZE(${layout.name})`,
          ...cFields(layout).map(([, cField]) => `FIELD(${layout.name}, ${cField})`),
        ]),
        ...[...constants().keys()].map((name) => `VALUE(${name})`),
      ])
    : { known: new Map<string, string>(), absent: [] };

describe.skipIf(reason !== null)(`UAPI headers${reason === null ? '' : ` (${reason})`}`, () => {
  test.each(layouts.map((layout) => [layout.name, layout] as const))(
    'struct %s',
    (name, layout) => {
      const lacking = facts.absent.some((fact) => fact.includes(`(${name},`));
      // A struct that grew since is shorter in the header: only its fields can be compared.
      if (!lacking) expect(`${name} ${layout.sizeBytes}`).toBe(`${name} ${facts.known.get(name)}`);
      let compared = 0;
      for (const [field, cField] of cFields(layout)) {
        const said = facts.known.get(`${name}.${cField}`);
        if (said === undefined) continue;
        const declared = `${layout.at[field]}+${fieldSizeBytes(layout.fields[field]![0])}`;
        expect(`${name}.${field} ${declared}`).toBe(`${name}.${field} ${said}`);
        compared++;
      }
      expect(compared).toBeGreaterThan(0);
    },
  );

  test('every constant has the value of the header', () => {
    const asked = [...constants()].filter(([name]) => facts.known.has(name));
    const declared = asked.map(([name, value]) => `${name} ${value}`);
    const said = asked.map(([name]) => `${name} ${facts.known.get(name)}`);
    expect(declared).toEqual(said);
    expect(declared.length).toBeGreaterThan(100);
  });

  test('names that the headers lack are names that came with a later kernel', () => {
    expect(facts.absent.filter((fact) => ADDED_LATER[fact] === undefined)).toEqual([]);
  });

  for (const fact of facts.absent) {
    test.skip(`${fact}: the installed headers do not have it (Linux ${ADDED_LATER[fact] ?? '?'})`);
  }
});
