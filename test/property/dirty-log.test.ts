/**
 * The dirty log against a naive model, a set of page numbers: any regions, any ranges, by guest address
 * or by host address, in a log of any size; pages beyond it are told of and nothing is written there.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DirtyLog } from '../../src/memory/dirty-log.ts';
import { plainRam } from '../support/mock-driver-memory.ts';
import { holds } from '../support/property.ts';

const PAGE = 4096;
const LOG_PAGES_MAX = 8 * 12;
const GUARD = 0x5a;

interface Mark {
  readonly by: 'guest' | 'host';
  readonly address: number;
  readonly lengthBytes: number;
}

/** The pages that a range touches, one byte after the other. */
function pagesOf(address: number, lengthBytes: number): number[] {
  const pages = new Set<number>();
  for (let at = address; at < address + lengthBytes; at += 512) pages.add(Math.floor(at / PAGE));
  pages.add(Math.floor((address + lengthBytes - 1) / PAGE));
  return [...pages];
}

const marks: fc.Arbitrary<Mark[]> = fc.array(
  fc.record({
    by: fc.constantFrom('guest', 'host'),
    address: fc.integer({ min: 0, max: 100 * PAGE }),
    lengthBytes: fc.oneof(fc.constantFrom(1, PAGE), fc.integer({ min: 1, max: 20 * PAGE })),
  }),
  { maxLength: 20 },
);
const input = fc.record({
  /** Pages and gaps between regions. */
  regions: fc.array(fc.tuple(fc.integer({ min: 1, max: 20 }), fc.nat(3)), {
    minLength: 1,
    maxLength: 5,
  }),
  logBytes: fc.integer({ min: 1, max: LOG_PAGES_MAX / 8 }),
  marks,
});

test('bits are what a set of pages says; nothing is written beyond the log', () => {
  holds(input, ({ regions, logBytes, marks: drawn }) => {
    let at = 0;
    const places = regions.map(([pages, gap]) => {
      const start = (at + gap) * PAGE;
      at += gap + pages;
      return [start, pages * PAGE] as const;
    });
    const ram = plainRam(...places);
    const guarded = new Uint8Array(logBytes + 8).fill(GUARD);
    guarded.fill(0, 0, logBytes);
    const outside: number[] = [];
    const log = new DirtyLog(guarded.subarray(0, logBytes), ram.deviceMemory(), {
      onMarked() {},
      onOutside: (address) => outside.push(address),
    });
    const inRam = (page: number) =>
      places.some(([start, size]) => page * PAGE >= start && page * PAGE < start + size);
    const model = new Set<number>();
    for (const { by, address, lengthBytes } of drawn) {
      const pages = pagesOf(address, lengthBytes);
      if (by === 'guest') {
        log.mark(address, lengthBytes);
        for (const page of pages) model.add(page);
      } else {
        // Host addresses are guest addresses, shifted; a hole ends the range.
        log.markHost(address + 0x7f00_0000_0000, lengthBytes);
        for (const page of pages) {
          if (!inRam(page)) break;
          model.add(page);
        }
      }
    }
    for (let page = 0; page < logBytes * 8; page++) {
      const bit = (guarded[Math.floor(page / 8)]! >> (page % 8)) & 1;
      expect([page, bit]).toEqual([page, model.has(page) ? 1 : 0]);
    }
    const beyond = [...model].filter((page) => page >= logBytes * 8);
    expect(outside.length).toBe(beyond.length > 0 ? 1 : 0);
    expect(guarded.subarray(logBytes).every((byte) => byte === GUARD)).toBe(true);
  });
});
