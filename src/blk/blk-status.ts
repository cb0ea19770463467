/**
 * The one place where a result becomes what the guest sees: VIRTIO_BLK_S_*.
 * Source: virtio 1.3 §5.2.6. Pure.
 */
import { EOPNOTSUPP } from '../../protocol/linux.ts';
import {
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
} from '../../protocol/virtio-blk.ts';

/** The status for a result of the backing file: a count or 0, or -errno. */
export function statusOfResult(result: number): number {
  if (result >= 0) return VIRTIO_BLK_S_OK;
  // The engine cannot do the operation at all; everything else is an error of this request.
  if (result === -EOPNOTSUPP) return VIRTIO_BLK_S_UNSUPP;
  return VIRTIO_BLK_S_IOERR;
}
