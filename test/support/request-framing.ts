/**
 * A request cut into descriptors at random: in whole sectors, as direct I/O wants it, or at odds with
 * everything, the header and the status byte included.
 */
import { type BlkRequestText, HEADER_BYTES } from './mock-driver-blk.ts';
import type { RandomNumbers } from './random-numbers.ts';

const SECTOR = 512;
const CUTS_MAX = 10;
/** The most descriptors that a request takes. */
export const FRAMED_DESCRIPTORS_MAX = CUTS_MAX + 4;

/** Cuts and gaps; aligned: data in whole sectors at whole sectors, from a place that is SECTOR - HEADER_BYTES off. */
export function randomFraming(random: RandomNumbers, text: BlkRequestText, aligned: boolean) {
  const { dataOut, dataInBytes = 0 } = text;
  const outBytes = dataOut?.length ?? 0;
  const unit = aligned ? SECTOR : 1;
  const cuts = (first: number, bytes: number) =>
    Array.from({ length: random(CUTS_MAX / 2) }, () => random(bytes / unit + 1) * unit + first)
      .filter((cut) => cut > first && cut < first + bytes)
      .sort((a, b) => a - b);
  if (aligned) {
    return {
      readableCuts: outBytes > 0 ? [HEADER_BYTES, ...cuts(HEADER_BYTES, outBytes)] : [],
      writableCuts: dataInBytes > 0 ? [...cuts(0, dataInBytes), dataInBytes] : [],
      gapBytes: random(2) * SECTOR,
    };
  }
  return {
    readableCuts: cuts(0, HEADER_BYTES + outBytes),
    writableCuts: cuts(0, dataInBytes + 1),
    gapBytes: random(30),
  };
}

/** Where the request begins behind a whole sector of memory. */
export function randomSkew(random: RandomNumbers, aligned: boolean): number {
  return aligned ? SECTOR - HEADER_BYTES : random(SECTOR);
}
