/**
 * How a machine ends that was not told to, or not so: as a value where it is a result, as an error where it never came up. Pure.
 */
import type { Finished } from '../../test/support/bounded-process.ts';
import type { Ending } from './batch.ts';
import { EnvironmentError } from './cases.ts';
import { panicText } from './last-words.ts';

export interface MachineEnding extends Ending {
  readonly evidence?: string;
}

/** A guest that does not come up for no fault of its disks: QEMU's TCG loses one now and then. */
export class NotUpError extends EnvironmentError {}

/** A back-end died while its guest came up, which is a result. */
export class LostAtBootError extends Error {
  readonly guest: string;
  readonly ending: MachineEnding;

  constructor(guest: string, ending: MachineEnding) {
    super(ending.reason);
    this.guest = guest;
    this.ending = ending;
  }
}

/** QEMU ended by itself: what its console says, else how, with its last line. */
export function endOfQemu(
  { status, signal }: Finished,
  console: string,
  output: string,
): MachineEnding {
  const said = output.trim().split('\n').at(-1);
  const how = `QEMU ended with ${signal ?? `status ${status}`}${said && `: ${said}`}`;
  return { verdict: 'panic', reason: panicText(console) ?? how };
}

/** What is known after a power-off. */
export interface PowerOff {
  readonly console: string;
  readonly output: string;
  /** Null: it still runs. */
  readonly end: Finished | null;
  /** A back-end that died before. */
  readonly death: MachineEnding | null;
  /** It runs because a disk owes it something. */
  readonly owed: MachineEnding | null;
  /** Why a back-end did not end well. */
  readonly bad: string | undefined;
}

/** What went wrong with it; null: nothing, or a guest that does not end for no fault of its disks. */
export function lossAtPowerOff(off: PowerOff): MachineEnding | null {
  const { console, output, end, death, owed, bad } = off;
  const panic = panicText(console);
  if (panic !== null) return { verdict: 'panic', reason: panic };
  if (end === null && (death ?? owed) !== null) return death ?? owed;
  if (end !== null && end.status !== 0) return endOfQemu(end, console, output);
  return bad === undefined ? null : { verdict: 'back-end death', reason: bad };
}
