/**
 * The loop driver's rule for direct I/O (lo_can_use_dio in drivers/block/loop.c), with the reason that
 * the driver never gives. Pure: facts in, decision out.
 */

export interface DirectIoFacts {
  readonly requested: 'on' | 'off' | 'auto';
  readonly blockSizeBytes: number;
  readonly offsetBytes: number;
  /** The backing file's logical sector, or the kernel's STATX_DIOALIGN; null when it does not say. */
  readonly directMemoryAlignBytes: number | null;
  readonly directOffsetAlignBytes: number | null;
  readonly logicalSectorBytes: number | null;
  /** The file lives in memory (tmpfs): there is nothing that direct I/O could bypass. */
  readonly inMemory: boolean;
  /** The transfer module that has not opted in to direct I/O; null: none. */
  readonly bufferedTransfer: string | null;
  /** What open(O_DIRECT) answered: 0, or -errno. */
  readonly openResult: number;
}

export interface DirectIoDecision {
  readonly direct: boolean;
  readonly reason: string;
  /** What buffers, offsets and lengths of direct I/O must be multiples of. */
  readonly memoryAlignBytes: number;
  readonly offsetAlignBytes: number;
}

/** Used when neither STATX_DIOALIGN nor the device says: the loop driver's last resort. */
const ASSUMED_ALIGN_BYTES = 512;

export function decideDirectIo(facts: DirectIoFacts): DirectIoDecision {
  const memoryAlignBytes =
    facts.directMemoryAlignBytes ?? facts.logicalSectorBytes ?? ASSUMED_ALIGN_BYTES;
  const offsetAlignBytes =
    facts.directOffsetAlignBytes ?? facts.logicalSectorBytes ?? ASSUMED_ALIGN_BYTES;
  const decide = (direct: boolean, reason: string): DirectIoDecision => ({
    direct,
    reason,
    memoryAlignBytes: direct ? memoryAlignBytes : 1,
    offsetAlignBytes: direct ? offsetAlignBytes : 1,
  });
  if (facts.requested === 'off') return decide(false, 'switched off');
  if (facts.inMemory) return decide(false, 'the file is in memory (tmpfs)');
  if (facts.bufferedTransfer !== null) {
    return decide(
      false,
      `the transfer module ${facts.bufferedTransfer} does not allow it, as the loop driver’s did not`,
    );
  }
  if (facts.openResult < 0) return decide(false, 'the file system refuses O_DIRECT');
  if (facts.directOffsetAlignBytes === 0) {
    return decide(false, 'the file system has no direct I/O for this file');
  }
  if (facts.blockSizeBytes < offsetAlignBytes) {
    return decide(
      false,
      `the file needs ${offsetAlignBytes}-byte alignment and the disk has ${facts.blockSizeBytes}-byte blocks (see --block-size)`,
    );
  }
  if (facts.offsetBytes % offsetAlignBytes !== 0) {
    return decide(false, `the offset is not a multiple of ${offsetAlignBytes} bytes`);
  }
  return decide(true, `the file takes direct I/O aligned to ${offsetAlignBytes} bytes`);
}
