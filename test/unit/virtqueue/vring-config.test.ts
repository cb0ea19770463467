/**
 * Starting a split ring: sizes, alignment, and where its parts may lie.
 */
import { describe, expect, test } from 'vitest';
import {
  activateVring,
  invalidVringSize,
  misalignedVring,
} from '../../../src/virtqueue/vring-config.ts';
import { GuestRam, plainRam } from '../../support/mock-driver-memory.ts';
import { ringPlace } from '../../support/mock-driver-ring.ts';

const OPTIONS = { packed: false, inOrder: false, eventIdx: false, indirect: true, base: 0 };
const AT = 0x1000;
const USER = 0x5500_0000_0000;

/** Starts a ring of `size` at user addresses moved by `shift`, in one region that fits it exactly. */
function start(size: number, shift: { desc?: number; avail?: number; used?: number } = {}) {
  const { desc, avail, used, end } = ringPlace(AT, size);
  const memory = plainRam([AT, end - AT]).deviceMemory();
  const addresses = {
    desc: USER + desc + (shift.desc ?? 0),
    avail: USER + avail + (shift.avail ?? 0),
    used: USER + used + (shift.used ?? 0),
  };
  return activateVring(memory, { size, addresses }, OPTIONS);
}

describe('size', () => {
  test('every power of two from 1 to 32768 is right, and no other number is', () => {
    const right = new Set(Array.from({ length: 16 }, (_, exponent) => 2 ** exponent));
    for (let size = 0; size <= 65536; size++) {
      if ((invalidVringSize(size) === null) !== right.has(size)) expect.unreachable(`size ${size}`);
    }
  });

  test.each([0, 3, 65536, 2 ** 31, 2 ** 32 - 1, 2 ** 32 + 8, -8])('%i is refused', (size) => {
    expect(invalidVringSize(size)).toBe(`num=${size}, expected a power of two from 1 to 32768`);
  });

  test.each([0, 3, 65536])('a ring of %i entries does not start', (size) => {
    const memory = plainRam([AT, 0x10_0000]).deviceMemory();
    const { desc, avail, used } = ringPlace(USER + AT, 8);
    expect(activateVring(memory, { size, addresses: { desc, avail, used } }, OPTIONS)).toMatch(
      /^num=/,
    );
  });
});

describe('alignment', () => {
  const aligned = { desc: 0x1000, avail: 0x2002, used: 0x3004 };

  test('16, 2 and 4 bytes suffice', () => expect(misalignedVring(aligned)).toBeNull());

  test.each([
    ['desc', 'descriptor table', 16],
    ['avail', 'avail ring', 2],
    ['used', 'used ring', 4],
  ] as const)('%s: any other address is refused', (part, name, alignment) => {
    for (let off = 1; off < alignment; off++) {
      const address = aligned[part] + off;
      expect(misalignedVring({ ...aligned, [part]: address })).toBe(
        `${name} address=0x${address.toString(16)}, expected a multiple of ${alignment}`,
      );
    }
  });

  test.each(['avail', 'used'] as const)(
    'a mapping that moves the %s ring off its alignment is refused, not thrown at',
    (moved) => {
      const part = (guestAddress: number, name: string) => ({
        guestAddress,
        // The region starts at an odd user address, so that an aligned one is odd in the mapping.
        userAddress: guestAddress + (name === moved ? 1 : 0),
        bytes: new Uint8Array(512),
      });
      const ram = new GuestRam([part(0, 'desc'), part(0x1000, 'avail'), part(0x2000, 'used')]);
      const addresses = { desc: 16, avail: 0x1010, used: 0x2010 };
      expect(activateVring(ram.deviceMemory(), { size: 8, addresses }, OPTIONS)).toBe(
        'the mapping of the ring is not aligned as its address is',
      );
    },
  );
});

describe('place', () => {
  test.each([1, 2, 8, 256, 32768])('a ring of %i in a region that just fits starts', (size) => {
    expect(typeof start(size)).toBe('object');
  });

  test.each([
    ['used ring', { used: 4 }],
    ['descriptor table', { desc: -16 }],
    ['avail ring', { avail: -0x1000 }],
    ['avail ring', { avail: 0x1_0000_0000 }],
  ])('%s outside memory is refused', (name, shift) => {
    expect(start(8, shift)).toMatch(new RegExp(`^${name} .* is not inside one memory region$`));
  });

  test('a ring part over two regions is refused', () => {
    const { desc, avail, used, end } = ringPlace(AT, 8);
    const memory = plainRam([AT, used + 8 - AT], [used + 8, end - used]).deviceMemory();
    const addresses = { desc: USER + desc, avail: USER + avail, used: USER + used };
    expect(activateVring(memory, { size: 8, addresses }, OPTIONS)).toMatch(/^used ring /);
  });

  test('guest addresses are not taken for user addresses', () => {
    const { desc, avail, used, end } = ringPlace(AT, 8);
    const memory = plainRam([AT, end - AT]).deviceMemory();
    const started = activateVring(memory, { size: 8, addresses: { desc, avail, used } }, OPTIONS);
    expect(started).toMatch(/^descriptor table /);
  });

  test('the three parts may lie in three regions', () => {
    const place = { desc: 0x1000, avail: 0x8000, used: 0x10_0000 };
    const memory = plainRam([0x1000, 128], [0x8000, 22], [0x10_0000, 70]).deviceMemory();
    const addresses = {
      desc: USER + place.desc,
      avail: USER + place.avail,
      used: USER + place.used,
    };
    expect(typeof activateVring(memory, { size: 8, addresses }, OPTIONS)).toBe('object');
  });
});
