/**
 * Faults for a memory backing file: by a list of choices (property tests, where the list shrinks) or for
 * one operation by number and kind (unit tests). Each fault is one that a real file shows.
 */
import { EAGAIN, EINTR, EINVAL, EIO, ENOSPC, EOPNOTSUPP } from '../../protocol/linux.ts';
import type { Fault, Operation } from './memory-backing-file.ts';

/** Faults after which the guest must see no difference. */
export const HARMLESS_FAULTS = ['none', 'short', 'again', 'interrupted'] as const;
/** Faults that fail a request, or change how it is carried out. */
export const HARMFUL_FAULTS = ['ioError', 'noSpace', 'unsupported'] as const;
export type FaultKind = (typeof HARMLESS_FAULTS)[number] | (typeof HARMFUL_FAULTS)[number];

/** What a kind of fault means for an operation; undefined where it does not happen to such a one. */
export function faultFor(
  kind: FaultKind,
  operation: Operation,
  alignBytes: number,
): Fault | undefined {
  switch (kind) {
    case 'none':
      return undefined;
    case 'short':
      return shortened(operation, alignBytes);
    case 'again':
      return operation.kind === 'fdatasync' ? undefined : { result: -EAGAIN };
    case 'interrupted':
      return operation.kind === 'fdatasync' ? undefined : { result: -EINTR };
    case 'ioError':
      return { result: -EIO };
    case 'noSpace':
      return operation.kind === 'write' ? { result: -ENOSPC } : undefined;
    case 'unsupported':
      return operation.kind === 'fallocate' ? { result: -EOPNOTSUPP } : undefined;
  }
}

/** About half, in whole blocks, and never nothing: a read of nothing means the end of the file. */
function shortened(operation: Operation, alignBytes: number): Fault | undefined {
  if (operation.kind !== 'read' && operation.kind !== 'write') return undefined;
  const half = Math.floor(operation.lengthBytes / 2 / alignBytes) * alignBytes;
  return half > 0 ? { shortBytes: half } : undefined;
}

/** Deals faults to operations as they complete, from a list that is used up; then none. */
export function dealtFaults(kinds: readonly FaultKind[], alignBytes: number) {
  let next = 0;
  return (operation: Operation): Fault | undefined => {
    const kind = kinds[next++];
    return kind === undefined ? undefined : faultFor(kind, operation, alignBytes);
  };
}

/** Every operation that `matches` gets a fault, at most `times` of them. */
export function faultsWhere(
  matches: (operation: Operation) => boolean,
  fault: Fault,
  times = Number.POSITIVE_INFINITY,
) {
  let left = times;
  return (operation: Operation): Fault | undefined => {
    if (left === 0 || !matches(operation)) return undefined;
    left--;
    return fault;
  };
}

export const failed = {
  again: { result: -EAGAIN },
  interrupted: { result: -EINTR },
  ioError: { result: -EIO },
  noSpace: { result: -ENOSPC },
  invalid: { result: -EINVAL },
  unsupported: { result: -EOPNOTSUPP },
} as const;

/** Ways in which a file is broken and says that all is well: what a checker has to find. */
export const LIES = [
  'lost',
  'torn',
  'misplaced',
  'swapped',
  'notZeroed',
  'unread',
  'stale',
] as const;
export type LieKind = (typeof LIES)[number];

/**
 * Lies of a kind for one operation in `oneIn`, chosen by where it is and not by its turn: a part of the same
 * requests meets the same ones.
 */
export function lies(kind: LieKind, oneIn: number, pending: () => readonly Operation[]) {
  const isHit = ({ offsetBytes }: Operation) => (offsetBytes / SECTOR) % oneIn === 0;
  const swapped = new Map<Operation, number>();
  return (operation: Operation): Fault | undefined => {
    const { offsetBytes, lengthBytes } = operation;
    const isItsKind = operation.kind === LIAR_OF[kind];
    const elsewhere = swapped.get(operation);
    if (elsewhere !== undefined) return { atBytes: elsewhere };
    if (!isItsKind || !isHit(operation)) return undefined;
    if (kind === 'stale') return { stale: true };
    if (kind === 'torn') return { onlyBytes: lengthBytes - SECTOR / 2 };
    if (kind === 'misplaced') return { atBytes: offsetBytes + SECTOR };
    if (kind !== 'swapped') return { onlyBytes: 0 };
    const other = pending().find((later) => later.kind === 'write' && later !== operation);
    if (other === undefined) return undefined;
    swapped.set(other, offsetBytes);
    return { atBytes: other.offsetBytes };
  };
}

const SECTOR = 512;
const LIAR_OF: Readonly<Record<LieKind, Operation['kind']>> = {
  lost: 'write',
  torn: 'write',
  misplaced: 'write',
  swapped: 'write',
  notZeroed: 'fallocate',
  unread: 'read',
  stale: 'read',
};
