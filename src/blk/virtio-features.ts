/**
 * What vloop does with each virtio feature: those of the block device and those of the rings and the
 * transport. A bit is offered when its row says `served`: GET_FEATURES and README's table follow.
 * Source: virtio 1.3 §5.2.3 and §6; vhost-user.rst for bits 26 and 30.
 */
import { virtioBlkFeatures } from '../../protocol/virtio-blk.ts';
import { ringFeatures } from '../../protocol/virtio-ring.ts';
import {
  type FeatureTable,
  featureMarkdown,
  offeredWord,
  refused,
  served,
} from './feature-table.ts';

export const blkFeatureTable: FeatureTable<typeof virtioBlkFeatures> = {
  VIRTIO_BLK_F_BARRIER: refused('legacy; its bit in a request is ignored'),
  VIRTIO_BLK_F_SIZE_MAX: refused('a segment has no limit: a value would only shrink requests'),
  VIRTIO_BLK_F_SEG_MAX: served('126 segments: a request fits a ring of 128 without indirection'),
  VIRTIO_BLK_F_GEOMETRY: refused('a file has no cylinders; firmware computes its own'),
  VIRTIO_BLK_F_RO: served('what would write is answered with an error', 'read-only disks'),
  VIRTIO_BLK_F_BLK_SIZE: served('`--block-size`'),
  VIRTIO_BLK_F_SCSI: refused('legacy pass-through'),
  VIRTIO_BLK_F_FLUSH: served('a flush is an fdatasync that succeeded'),
  VIRTIO_BLK_F_TOPOLOGY: served("the block size of the host's device"),
  VIRTIO_BLK_F_CONFIG_WCE: served('the guest switches between write-back and write-through'),
  VIRTIO_BLK_F_MQ: served('`--num-queues`, 64 unless it says otherwise; QEMU asks for one a vCPU'),
  VIRTIO_BLK_F_DISCARD: served(
    'blocks are given back to the host; with `--transfer` only where the module allows it',
    'writable disks',
  ),
  VIRTIO_BLK_F_WRITE_ZEROES: served(
    'with and without deallocation; with `--transfer` zeroes are written',
    'writable disks',
  ),
  VIRTIO_BLK_F_LIFETIME: refused('a file does not wear; QEMU does not pass it on'),
  VIRTIO_BLK_F_SECURE_ERASE: refused(
    'no file system promises that old blocks are gone; QEMU does not pass it on',
  ),
  VIRTIO_BLK_F_ZONED: refused('QEMU does not pass it on'),
};

export const ringFeatureTable: FeatureTable<typeof ringFeatures> = {
  VIRTIO_F_NOTIFY_ON_EMPTY: refused('legacy'),
  VHOST_F_LOG_ALL: served(
    'every page that the disk writes is marked in the dirty log of a live migration',
  ),
  VIRTIO_F_ANY_LAYOUT: refused('legacy; any message framing is served'),
  VIRTIO_RING_F_INDIRECT_DESC: served("tables of 1024 descriptors, or the ring's size"),
  VIRTIO_RING_F_EVENT_IDX: served('kicks and calls only where the other side waits'),
  VHOST_USER_F_PROTOCOL_FEATURES: served('the features of the table above'),
  VIRTIO_F_VERSION_1: served(
    "required: a legacy driver's session is ended with a line that says so",
  ),
  VIRTIO_F_ACCESS_PLATFORM: served("addresses go through an IOTLB: a guest's IOMMU"),
  VIRTIO_F_RING_PACKED: served('any size up to 32768'),
  VIRTIO_F_IN_ORDER: served('chains are used in the order in which they were made available'),
  VIRTIO_F_ORDER_PLATFORM: refused('for devices that are not on the same CPUs as the driver'),
  VIRTIO_F_NOTIFICATION_DATA: served(
    'changes what a guest writes to its front-end; a kick stays an eventfd',
  ),
  VIRTIO_F_RING_RESET: served('one ring is stopped and set up anew while others run'),
};

/** What GET_FEATURES answers for a disk. */
export function offeredVirtioWord(readOnly: boolean): bigint {
  return (
    offeredWord(virtioBlkFeatures, blkFeatureTable, readOnly) |
    offeredWord(ringFeatures, ringFeatureTable, readOnly)
  );
}

/** README's tables. */
export function blkFeaturesMarkdown(): string {
  return featureMarkdown(virtioBlkFeatures, blkFeatureTable, /^VIRTIO_BLK_F_/);
}

export function ringFeaturesMarkdown(): string {
  return featureMarkdown(ringFeatures, ringFeatureTable, /^VIRTIO_(RING_)?F_/);
}
