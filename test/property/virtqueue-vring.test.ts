/**
 * SplitVring against a naive model through random operations, index wraps, and a driver that errs:
 * the same chains, the same notifications, the same bytes. See virtqueue-twins.ts.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { holds } from '../support/property.ts';
import { descriptorFields, goodSteps, idx16, type Step, small, step } from './ring-steps.ts';
import { type PlantedError, SplitTwins, type TwinsOptions } from './virtqueue-twins.ts';

const descriptor = fc.record({
  ...descriptorFields,
  flags: fc.integer({ min: 0, max: 7 }),
  next: small,
});

const rightSteps = [
  ...goodSteps<SplitTwins>(),
  step<SplitTwins, number>(1, 'usedEvent', idx16, (twins, value) => twins.usedEvent(value)),
];
const wrongSteps = [
  step(1, 'rawDescriptor', fc.tuple(small, descriptor), (twins: SplitTwins, [index, fields]) =>
    twins.rawDescriptor(index, fields),
  ),
  step(1, 'rawOffer', small, (twins: SplitTwins, head) => twins.rawOffer(head)),
];
const jump = step(1, 'rawAvailIdx', idx16, (twins: SplitTwins, value) => twins.rawAvailIdx(value));

function scenario(steps: typeof rightSteps) {
  return fc.record({
    size: fc.constantFrom(1, 2, 4, 8),
    eventIdx: fc.boolean(),
    indirect: fc.boolean(),
    base: fc.oneof(fc.constantFrom(0, 0x7fff, 0xfffd, 0xffff), idx16),
    // size: without it fast-check prefers arrays too short for anything to happen.
    steps: fc.array(fc.oneof(...steps), { maxLength: 80, size: 'max' }),
  });
}

type Scenario = TwinsOptions & { readonly steps: ReadonlyArray<Step<SplitTwins>> };

function play({ steps, ...options }: Scenario, planted: PlantedError = {}): void {
  const twins = new SplitTwins(options, planted);
  for (const act of steps) {
    act(twins);
    twins.expectSameState();
  }
  twins.expectSameMemory();
}

test('a driver that does right is served as the model serves it', () => {
  holds(scenario(rightSteps), (input) => play(input), 1000);
});

test('a driver that errs breaks the ring exactly where the model breaks', () => {
  holds(scenario([...rightSteps, ...wrongSteps]), (input) => play(input), 1500);
});

test('an avail index of any value is served or refused as by the model', () => {
  holds(scenario([...rightSteps, ...wrongSteps, jump]), (input) => play(input), 1000);
});

test.each([
  ['EVENT_IDX', ({ eventIdx }: Scenario) => ({ eventIdx: !eventIdx })],
  ['indirect descriptors', ({ indirect }: Scenario) => ({ indirect: !indirect })],
])('canary: a model that is wrong about %s is found out, and the seed is named', (_, plant) => {
  const check = () => holds(scenario(rightSteps), (input) => play(input, plant(input)));
  expect(check).toThrow(/^seed=(-?\d+): run again with SEED=\1\n/);
});
