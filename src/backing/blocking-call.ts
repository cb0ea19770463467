/**
 * One operation of the backing port as one blocking call. For engines that have no asynchronous form of
 * it, and for files where the call is the fastest form.
 */
import {
  IO_FALLOCATE,
  IO_FDATASYNC,
  IO_FLAG_DSYNC,
  IO_READ,
  IO_READV,
  IO_WRITE,
} from '../loop/backing-port.ts';
import {
  allocateAt,
  readAt,
  readVectorsAt,
  syncData,
  writeAt,
  writeAtDurably,
  writeVectorsAt,
} from '../sys/file-calls.ts';

/** A count, 0 or -errno, as the port's results are. */
export function callNow(
  fd: number,
  operation: number,
  offsetBytes: number,
  address: number,
  length: number,
  flags: number,
): number {
  const durable = (flags & IO_FLAG_DSYNC) !== 0;
  switch (operation) {
    case IO_READ:
      return readAt(fd, offsetBytes, address, length);
    case IO_WRITE:
      return durable
        ? writeAtDurably(fd, offsetBytes, address, length)
        : writeAt(fd, offsetBytes, address, length);
    case IO_READV:
      return readVectorsAt(fd, offsetBytes, address, length);
    case IO_FDATASYNC:
      return syncData(fd);
    case IO_FALLOCATE:
      return allocateAt(fd, flags, offsetBytes, length);
    default:
      return writeVectorsAt(fd, offsetBytes, address, length, durable);
  }
}
