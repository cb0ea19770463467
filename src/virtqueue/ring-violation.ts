/**
 * What a driver can do wrong with a ring. Negative numbers, so that the data path returns them without
 * a throw; each breaks its vring (DESIGN: never the process) and is counted and logged by name.
 */
import { codes } from '../../protocol/layout.ts';

export const AVAIL_IDX_JUMP = -1;
export const HEAD_OUT_OF_RANGE = -2;
export const HEAD_IN_FLIGHT = -3;
export const CHAIN_NEXT_OUT_OF_RANGE = -4;
export const CHAIN_TOO_LONG = -5;
export const CHAIN_READABLE_AFTER_WRITABLE = -6;
export const CHAIN_ADDRESS_UNMAPPED = -7;
export const CHAIN_ADDRESS_TOO_LARGE = -8;
export const INDIRECT_NOT_NEGOTIATED = -9;
export const INDIRECT_NESTED = -10;
export const INDIRECT_WITH_NEXT = -11;
export const INDIRECT_LENGTH = -12;
export const INDIRECT_UNMAPPED = -13;
export const REQUEST_NO_STATUS_BYTE = -14;
export const RING_OVERRUN = -15;
/** The ring itself has no translation, or none in one piece of memory. */
export const RING_UNMAPPED = -16;

/**
 * No violation: a translation is missing. The chain stays where it is, and is taken again when the
 * front-end has answered.
 */
export const CHAIN_MISS = -100;

export const ringViolations = codes('ring violation', 'virtio 1.3 §2.7, §2.8', {
  AVAIL_IDX_JUMP,
  HEAD_OUT_OF_RANGE,
  HEAD_IN_FLIGHT,
  CHAIN_NEXT_OUT_OF_RANGE,
  CHAIN_TOO_LONG,
  CHAIN_READABLE_AFTER_WRITABLE,
  CHAIN_ADDRESS_UNMAPPED,
  CHAIN_ADDRESS_TOO_LARGE,
  INDIRECT_NOT_NEGOTIATED,
  INDIRECT_NESTED,
  INDIRECT_WITH_NEXT,
  INDIRECT_LENGTH,
  INDIRECT_UNMAPPED,
  REQUEST_NO_STATUS_BYTE,
  RING_OVERRUN,
  RING_UNMAPPED,
});
