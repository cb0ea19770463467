/**
 * From a request in guest memory to what the device makes of it, in one call: the request is placed,
 * offered on a ring, popped and decoded. Tests of virtio-blk decoding start from here.
 */
import { BlkRequest, type RequestLimits } from '../../src/blk/blk-request.ts';
import { ringViolations } from '../../src/virtqueue/ring-violation.ts';
import type { DriverBuffer } from './mock-driver.ts';
import { type BlkRequestText, type PlacedRequest, placeRequest } from './mock-driver-blk.ts';
import { DATA_AT, type RingSetup, type RingSetupOptions, ringSetup } from './mock-driver-setup.ts';

export const LIMITS: RequestLimits = {
  capacitySectors: 2048,
  blockSizeBytes: 512,
  readOnly: false,
  rangesMax: 16,
  discard: true,
  writeZeroes: true,
};

export interface DecodedRequest {
  /** 0, or the name of the violation. */
  readonly outcome: string | 0;
  readonly request: BlkRequest;
  readonly setup: RingSetup;
  /** The bytes that the data segments lie over: [guest address, length], neighbours joined. */
  readonly data: ReadonlyArray<readonly [number, number]>;
  /** Guest address of the status byte. */
  readonly statusAddress: number;
}

/** Decodes a chain of given buffers. */
export function decodeBuffers(
  buffers: readonly DriverBuffer[],
  limits: Partial<RequestLimits> = {},
  setup: RingSetup = ringSetup({ size: 128 }),
): DecodedRequest {
  const { driver, vring, chain, memory, ram } = setup;
  driver.addChain(buffers);
  driver.publish();
  if (vring.pop(chain) !== 1)
    throw new Error(`the ring broke: ${ringViolations.nameOf(vring.broken)}`);
  const request = new BlkRequest();
  const result = request.decode(chain, memory, { ...LIMITS, ...limits });
  const regionOf = (slot: number) => ram.regions[slot]!;
  const data: Array<[number, number]> = [];
  for (let segment = request.firstSegment; segment < request.endSegment; segment++) {
    const region = regionOf(chain.slot[segment]!);
    const address = chain.hostAddress[segment]! - region.hostAddress + region.guestAddress;
    const lengthBytes = chain.lengthBytes[segment]!;
    const before = data.at(-1);
    if (before !== undefined && before[0] + before[1] === address) before[1] += lengthBytes;
    else if (lengthBytes > 0) data.push([address, lengthBytes]);
  }
  return {
    outcome: result === 0 ? 0 : ringViolations.nameOf(result),
    request,
    setup,
    data,
    statusAddress: regionOf(request.statusSlot).guestAddress + request.statusOffset,
  };
}

/** Places a request at DATA_AT and decodes it. */
export function decodeRequest(
  text: BlkRequestText,
  limits: Partial<RequestLimits> = {},
  options: RingSetupOptions = {},
): DecodedRequest & { readonly placed: PlacedRequest } {
  const setup = ringSetup({ size: 128, ...options });
  const placed = placeRequest(setup.ram, DATA_AT, text);
  return { placed, ...decodeBuffers(placed.buffers, limits, setup) };
}
