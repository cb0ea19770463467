/**
 * How a disk behaves towards its driver: its shape, the features that the driver has acked, and the cache mode, which
 * is the only one of them that a driver may change while it runs. Workers are told what they check requests against.
 * Source: virtio 1.3 §5.2.5, §5.2.6.
 */
import {
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_WRITE_ZEROES,
} from '../../protocol/virtio-blk.ts';
import type { DiskShape } from '../blk/disk-shape.ts';
import { hasFeature, isWriteThrough } from '../blk/features.ts';
import type { LoopWorkers } from './loop-workers.ts';

export class DiskMode {
  readonly #workers: LoopWorkers;
  shape: DiskShape;
  acked = 0n;
  writeback = true;

  constructor(shape: DiskShape, workers: LoopWorkers) {
    this.shape = shape;
    this.#workers = workers;
  }

  /** The driver's features decide about the cache mode and which requests are known. */
  ack(features: bigint): void {
    this.acked = features;
    // A driver that acked CONFIG_WCE and cannot flush starts with writeback = 0 (§5.2.5.2).
    if (
      hasFeature(features, VIRTIO_BLK_F_CONFIG_WCE) &&
      !hasFeature(features, VIRTIO_BLK_F_FLUSH)
    ) {
      this.writeback = false;
    }
  }

  /** What has changed counts from each worker's next turn on. */
  async tell(): Promise<void> {
    const { capacitySectors, blockSizeBytes, readOnly, rangesMax } = this.shape;
    await this.#workers.askAll({
      kind: 'setMode',
      writeThrough: isWriteThrough(this.acked, this.writeback),
      limits: {
        capacitySectors,
        blockSizeBytes,
        readOnly,
        rangesMax,
        discard: hasFeature(this.acked, VIRTIO_BLK_F_DISCARD),
        writeZeroes: hasFeature(this.acked, VIRTIO_BLK_F_WRITE_ZEROES),
      },
    });
  }
}
