/**
 * The method disk_trace over the trace of a disk: begins one, goes on with it, says who is too late.
 */
import { virtioBlkStatus } from '../../protocol/virtio-blk.ts';
import { OP_NAMES, type OpName, opName } from '../blk/op-names.ts';
import type { TracedRequest } from '../loop/request-trace.ts';
import type { DiskTrace, TraceLook } from '../worker/disk-trace.ts';
import { ControlError } from './controlled-disk.ts';
import type { TracedLine, TraceResult } from './schema/disk-trace.ts';

const MOST = 1024;
const SECTOR_BYTES = 512;
const STATUS_PREFIX = 'VIRTIO_BLK_S_';

interface TraceParams {
  readonly trace?: number;
  readonly ops?: readonly OpName[];
  readonly most?: number;
  readonly end?: boolean;
}

function lineOf(request: TracedRequest): TracedLine {
  return {
    start_ms: request.startMs,
    queue: request.queue,
    head: request.head,
    op: opName(request.op),
    // A request without an operation has a place only in the words of the guest.
    sector: Math.floor(request.firstBytes / SECTOR_BYTES),
    bytes: request.lengthBytes,
    took_us: request.tookMs * 1000,
    status: virtioBlkStatus.nameOf(request.status).replace(STATUS_PREFIX, ''),
  };
}

function resultOf({ id, requests, lost }: TraceLook): TraceResult {
  const lines = requests.map(lineOf).sort((a, b) => a.start_ms - b.start_ms);
  return { trace: id, lost, requests: lines };
}

/** Throws ControlError. */
export async function traceDisk(
  disk: DiskTrace,
  { trace, ops = OP_NAMES, most = MOST, end = false }: TraceParams,
): Promise<TraceResult> {
  if (trace === undefined) {
    const bits = ops.reduce((word, op) => word | (1 << OP_NAMES.indexOf(op)), 0);
    const begun = await disk.begin(bits);
    if (begun === null) throw new ControlError('EBUSY', 'somebody else traces the disk');
    return resultOf(begun);
  }
  const look = disk.take(trace, most);
  if (look === null) throw new ControlError('EINVAL', `trace=${trace}: it has ended`);
  if (end) disk.end(trace);
  return resultOf(look);
}
