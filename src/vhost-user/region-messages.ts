/**
 * The memory regions of SET_MEM_TABLE, ADD_MEM_REG and REM_MEM_REG. With GPA_ADDRESSES a region's user
 * address is its guest address said twice, so that a ring's guest-physical address is found like all
 * others. Source: vhost-user.rst, "Memory region description".
 */

import type { MessageRow } from '../../protocol/vhost-user-message-row.ts';
import { vhostUserMessages as M } from '../../protocol/vhost-user-messages.ts';
import {
  vhostMemoryHead,
  vhostMemoryRegion,
  vhostSingleMemoryRegion,
} from '../../protocol/vhost-user-payloads.ts';
import type { RegionDescription } from '../memory/region-table.ts';
import { ProtocolError } from './protocol-error.ts';

type RegionOffsets = Readonly<Record<'guest_addr' | 'size' | 'user_addr' | 'mmap_offset', number>>;

/** 64-bit numbers become Numbers; those above 2^53 are inexact and refused by `invalidRegion`. */
function readRegion(view: DataView, base: number, at: RegionOffsets): RegionDescription {
  const u64 = (offset: number) => Number(view.getBigUint64(base + offset, true));
  return {
    guestAddress: u64(at.guest_addr),
    sizeBytes: u64(at.size),
    userAddress: u64(at.user_addr),
    mmapOffset: u64(at.mmap_offset),
  };
}

/** Throws ProtocolError when the user address is not the guest address although it has to be. */
function requireOneAddress(row: MessageRow, region: RegionDescription): RegionDescription {
  const { guestAddress, userAddress } = region;
  if (guestAddress === userAddress) return region;
  throw new ProtocolError(
    `${row.name}: user address=0x${userAddress.toString(16)}, expected the guest address 0x${guestAddress.toString(16)} (VHOST_USER_PROTOCOL_F_GPA_ADDRESSES)`,
  );
}

/** The region of ADD_MEM_REG or REM_MEM_REG. `guestAddressed`: GPA_ADDRESSES was negotiated. */
export function singleRegion(
  row: MessageRow,
  payload: DataView,
  guestAddressed: boolean,
): RegionDescription {
  const region = readRegion(payload, 0, vhostSingleMemoryRegion.at);
  return guestAddressed ? requireOneAddress(row, region) : region;
}

/** The regions of SET_MEM_TABLE. */
export function tableRegions(payload: DataView, guestAddressed: boolean): RegionDescription[] {
  const count = payload.getUint32(vhostMemoryHead.at.nregions, true);
  return Array.from({ length: count }, (_, i) => {
    const at = vhostMemoryHead.sizeBytes + i * vhostMemoryRegion.sizeBytes;
    const region = readRegion(payload, at, vhostMemoryRegion.at);
    return guestAddressed ? requireOneAddress(M.SET_MEM_TABLE, region) : region;
  });
}
