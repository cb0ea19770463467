/**
 * The steps of a ring's twins (virtqueue-twins.ts) that a driver of either layout makes, as random inputs
 * that say what they do in a counterexample.
 */
import fc from 'fast-check';
import type { RingDriver } from '../support/mock-driver.ts';
import { DATA_AT } from '../support/mock-driver-setup.ts';
import type { Twins } from './virtqueue-twins.ts';

export type Step<T> = (twins: T) => void;

export const idx16 = fc.integer({ min: 0, max: 0xffff });
export const small = fc.integer({ min: 0, max: 9 });
const buffer = fc.record({
  address: fc.integer({ min: DATA_AT, max: DATA_AT + 128 }),
  lengthBytes: fc.integer({ min: 0, max: 300 }),
});
const writableBuffer = buffer.map((fields) => ({ ...fields, writable: true }));

/** The fields of a descriptor that both layouts have, right or wrong. */
export const descriptorFields = {
  address: fc.oneof(
    fc.integer({ min: DATA_AT - 4, max: DATA_AT + 704 }),
    fc.bigInt(0n, 2n ** 64n - 1n),
  ),
  lengthBytes: fc.oneof(fc.integer({ min: 0, max: 64 }), fc.constantFrom(16, 32, 513)),
};

/** A step that says what it does in a counterexample. */
export function step<T, Input>(
  weight: number,
  name: string,
  input: fc.Arbitrary<Input>,
  run: (twins: T, input: Input) => void,
) {
  const arbitrary = input.map((value): Step<T> => {
    const act: Step<T> = (twins) => run(twins, value);
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

/** What a driver that does right and its device do. */
export function goodSteps<T extends Twins<RingDriver>>() {
  return [
    step<T, [DriverBuffers, DriverBuffers, boolean]>(
      6,
      'chain',
      chain,
      (twins, [readable, writable, indirect]) => twins.chain([...readable, ...writable], indirect),
    ),
    step<T, undefined>(4, 'publishAvail', nothing, (twins) => twins.publishAvail()),
    step<T, undefined>(6, 'pop', nothing, (twins) => twins.pop()),
    step<T, [number, number]>(5, 'push', fc.tuple(small, fc.nat(600)), (twins, [which, bytes]) =>
      twins.push(which, bytes),
    ),
    step<T, undefined>(4, 'publishUsed', nothing, (twins) => twins.publishUsed()),
    step<T, undefined>(3, 'armKicks', nothing, (twins) => twins.armKicks()),
    step<T, undefined>(2, 'suppressKicks', nothing, (twins) => twins.suppressKicks()),
    step<T, undefined>(3, 'collect', nothing, (twins) => twins.collect()),
    step<T, boolean>(2, 'wantCalls', fc.boolean(), (twins, wanted) => twins.wantCalls(wanted)),
  ];
}

type DriverBuffers = Parameters<Twins<RingDriver>['chain']>[0];
