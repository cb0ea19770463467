/**
 * PackedVring against a naive model through random operations, many laps of rings of any size, and a
 * driver that errs: the same chains, the same notifications, the same bytes. See packed-twins.ts.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { packedBase } from '../support/mock-driver-packed.ts';
import { holds } from '../support/property.ts';
import { PackedTwins } from './packed-twins.ts';
import { descriptorFields, goodSteps, idx16, type Step, small, step } from './ring-steps.ts';
import type { PlantedError } from './virtqueue-twins.ts';

const flagBits = fc.constantFrom(1, 2, 4, 1 << 7, 1 << 15, 1 << 3);
const descriptor = fc.record({
  ...descriptorFields,
  id: fc.oneof({ weight: 8, arbitrary: small }, { weight: 1, arbitrary: idx16 }),
  flags: fc
    .array(flagBits, { maxLength: 3 })
    .map((bits) => bits.reduce((all, bit) => all | bit, 0)),
});
/** Lists of a kind that a driver could make, but for ids and addresses. */
const list = fc
  .array(fc.record({ ...descriptorFields, id: small, flags: fc.constantFrom(0, 2, 2, 4) }), {
    minLength: 1,
    maxLength: 3,
  })
  .map((all) => all.map((one, i) => (i + 1 < all.length ? { ...one, flags: one.flags | 1 } : one)));

const rightSteps = [
  ...goodSteps<PackedTwins>(),
  step(1, 'driverEvent', fc.tuple(idx16, small), (twins: PackedTwins, [offWrap, flags]) =>
    twins.driverEvent(offWrap, flags),
  ),
];
const wrongSteps = [
  step(1, 'rawDescriptor', fc.tuple(small, descriptor), (twins: PackedTwins, [index, fields]) =>
    twins.rawDescriptor(index, fields),
  ),
  step(2, 'rawChain', list, (twins: PackedTwins, descriptors) => twins.rawChain(descriptors)),
];

/** A ring of any size, stopped before at any place in any lap. */
const start = fc
  .tuple(fc.constantFrom(1, 2, 3, 4, 5, 7, 8), fc.nat(7), fc.boolean())
  .map(([size, index, wrap]) => ({ size, base: packedBase({ index: index % size, wrap }) }));

function scenario(steps: typeof rightSteps, stepsMax: number) {
  return fc.record({
    start,
    eventIdx: fc.boolean(),
    indirect: fc.boolean(),
    // size: without it fast-check prefers arrays too short for anything to happen.
    steps: fc.array(fc.oneof(...steps), { maxLength: stepsMax, size: 'max' }),
  });
}

interface Scenario {
  readonly start: { readonly size: number; readonly base: number };
  readonly eventIdx: boolean;
  readonly indirect: boolean;
  readonly steps: ReadonlyArray<Step<PackedTwins>>;
}

function play({ steps, start, eventIdx, indirect }: Scenario, planted: PlantedError = {}): void {
  const twins = new PackedTwins({ ...start, eventIdx, indirect }, planted);
  for (const act of steps) {
    act(twins);
    twins.expectSameState();
  }
  twins.expectSameMemory();
}

test('a driver that does right is served as the model serves it', () => {
  holds(scenario(rightSteps, 80), (input) => play(input), 1000);
});

test('through many laps of small rings', () => {
  holds(scenario(rightSteps, 600), (input) => play(input), 60);
});

test('a driver that errs breaks the ring exactly where the model breaks', () => {
  holds(scenario([...rightSteps, ...wrongSteps], 80), (input) => play(input), 2000);
});

test.each([
  ['EVENT_IDX', ({ eventIdx }: Scenario) => ({ eventIdx: !eventIdx })],
  ['indirect descriptors', ({ indirect }: Scenario) => ({ indirect: !indirect })],
])('canary: a model that is wrong about %s is found out, and the seed is named', (_, plant) => {
  const check = () => holds(scenario(rightSteps, 80), (input) => play(input, plant(input)));
  expect(check).toThrow(/^seed=(-?\d+): run again with SEED=\1\n/);
});
