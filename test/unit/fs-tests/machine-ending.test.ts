/**
 * What a power-off that did not go well is: a panic, a guest whose disk is gone or owes it something, a back-end that ends badly;
 * and that a guest that ends, or does not for no fault of its disks, is none of them.
 */
import { expect, test } from 'vitest';
import {
  lossAtPowerOff,
  type MachineEnding,
  type PowerOff,
} from '../../../qemu-examples/fs-tests/machine-ending.ts';

const ended = (status: number | null, signal: NodeJS.Signals | null = null) => ({
  ...{ status, signal, stdout: '', stderr: '' },
});
const well: PowerOff = {
  ...{ console: '', output: '', end: ended(0), death: null, owed: null, bad: undefined },
};
const death: MachineEnding = { verdict: 'back-end death', reason: 'gone' };
const owed: MachineEnding = { verdict: 'hang', reason: 'disk scratch: 1 request' };
const panic = 'Kernel panic - not syncing: Oops';

test.each<[string, Partial<PowerOff>, [string, string] | null]>([
  ['it ends', {}, null],
  ['its vloop went with it', { death }, null],
  ['it still runs, and nothing is owed', { end: null }, null],
  ['it still runs, its disk gone', { end: null, death }, ['back-end death', 'gone']],
  ['it still runs, its disk owes it', { end: null, owed }, ['hang', owed.reason]],
  ['it panics, with which QEMU ends well', { console: `x\n${panic}\ny` }, ['panic', panic]],
  [
    'QEMU crashes',
    { end: ended(null, 'SIGSEGV'), output: 'oh\n' },
    ['panic', 'QEMU ended with SIGSEGV: oh'],
  ],
  ['vloop ends badly after it', { bad: 'status 9' }, ['back-end death', 'status 9']],
])('%s', (_, more, expected) => {
  const loss = lossAtPowerOff({ ...well, ...more });
  expect(loss && [loss.verdict, loss.reason]).toEqual(expected);
});
