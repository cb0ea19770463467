/**
 * SplitVring against a naive model through random operations, index wraps, and a driver that errs:
 * the same chains, the same notifications, the same bytes. See virtqueue-twins.ts.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DATA_AT } from '../support/mock-driver-setup.ts';
import { holds } from '../support/property.ts';
import { type PlantedError, RingTwins, type TwinsOptions } from './virtqueue-twins.ts';

type Step = (twins: RingTwins) => void;

const idx16 = fc.integer({ min: 0, max: 0xffff });
const small = fc.integer({ min: 0, max: 9 });
const buffer = fc.record({
  address: fc.integer({ min: DATA_AT, max: DATA_AT + 128 }),
  lengthBytes: fc.integer({ min: 0, max: 300 }),
});
const writableBuffer = buffer.map((fields) => ({ ...fields, writable: true }));
const descriptor = fc.record({
  address: fc.oneof(
    fc.integer({ min: DATA_AT - 4, max: DATA_AT + 704 }),
    fc.bigInt(0n, 2n ** 64n - 1n),
  ),
  lengthBytes: fc.oneof(fc.integer({ min: 0, max: 64 }), fc.constantFrom(16, 32, 513)),
  flags: fc.integer({ min: 0, max: 7 }),
  next: small,
});

/** A step that says what it does in a counterexample. */
function step<T>(
  weight: number,
  name: string,
  input: fc.Arbitrary<T>,
  run: (twins: RingTwins, input: T) => void,
) {
  const arbitrary = input.map((value): Step => {
    const act: Step = (twins) => run(twins, value);
    return Object.assign(act, { toString: () => `${name}(${fc.stringify(value)})` });
  });
  return { weight, arbitrary };
}

const nothing = fc.constant(undefined);
const chain = fc.tuple(
  fc.array(buffer, { maxLength: 2 }),
  fc.array(writableBuffer, { minLength: 1, maxLength: 2 }),
  fc.boolean(),
);

const goodSteps = [
  step(6, 'chain', chain, (twins, [readable, writable, indirect]) =>
    twins.chain([...readable, ...writable], indirect),
  ),
  step(4, 'publishAvail', nothing, (twins) => twins.publishAvail()),
  step(6, 'pop', nothing, (twins) => twins.pop()),
  step(5, 'push', fc.tuple(small, fc.nat(600)), (twins, [which, bytes]) =>
    twins.push(which, bytes),
  ),
  step(4, 'publishUsed', nothing, (twins) => twins.publishUsed()),
  step(3, 'armKicks', nothing, (twins) => twins.armKicks()),
  step(2, 'suppressKicks', nothing, (twins) => twins.suppressKicks()),
  step(3, 'collect', nothing, (twins) => twins.collect()),
  step(2, 'wantCalls', fc.boolean(), (twins, wanted) => twins.wantCalls(wanted)),
  step(1, 'usedEvent', idx16, (twins, value) => twins.usedEvent(value)),
];
const wrongSteps = [
  step(1, 'rawDescriptor', fc.tuple(small, descriptor), (twins, [index, fields]) =>
    twins.rawDescriptor(index, fields),
  ),
  step(1, 'rawOffer', small, (twins, head) => twins.rawOffer(head)),
];
const jump = step(1, 'rawAvailIdx', idx16, (twins, value) => twins.rawAvailIdx(value));

function scenario(steps: typeof goodSteps) {
  return fc.record({
    size: fc.constantFrom(1, 2, 4, 8),
    eventIdx: fc.boolean(),
    indirect: fc.boolean(),
    base: fc.oneof(fc.constantFrom(0, 0x7fff, 0xfffd, 0xffff), idx16),
    // size: without it fast-check prefers arrays too short for anything to happen.
    steps: fc.array(fc.oneof(...steps), { maxLength: 80, size: 'max' }),
  });
}

type Scenario = TwinsOptions & { readonly steps: readonly Step[] };

function play({ steps, ...options }: Scenario, planted: PlantedError = {}): void {
  const twins = new RingTwins(options, planted);
  for (const act of steps) {
    act(twins);
    twins.expectSameState();
  }
  twins.expectSameMemory();
}

test('a driver that does right is served as the model serves it', () => {
  holds(scenario(goodSteps), (input) => play(input), 1000);
});

test('a driver that errs breaks the ring exactly where the model breaks', () => {
  holds(scenario([...goodSteps, ...wrongSteps]), (input) => play(input), 1500);
});

test('an avail index of any value is served or refused as by the model', () => {
  holds(scenario([...goodSteps, ...wrongSteps, jump]), (input) => play(input), 1000);
});

test.each([
  ['EVENT_IDX', ({ eventIdx }: Scenario) => ({ eventIdx: !eventIdx })],
  ['indirect descriptors', ({ indirect }: Scenario) => ({ indirect: !indirect })],
])('canary: a model that is wrong about %s is found out, and the seed is named', (_, plant) => {
  const check = () => holds(scenario(goodSteps), (input) => play(input, plant(input)));
  expect(check).toThrow(/^seed=(-?\d+): run again with SEED=\1\n/);
});
