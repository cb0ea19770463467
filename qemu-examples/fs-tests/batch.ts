/**
 * The tests that one command names, while a guest runs them: its lines become results, one after the other. Pure: what the
 * clock says and what a lost machine left behind come in as arguments.
 */
import type { CaseResult, DiskCounters, Side, TestCase, Verdict } from './cases.ts';
import { type ChannelLine, countersBetween } from './channel-lines.ts';

const STATUS_NOT_RUN = 77;
/** timeout(1): it ran out, or had to be killed. Programs of a test may end so by themselves, but before their time. */
const STATUS_TIMED_OUT = [124, 137];
/** Two clocks of the guest's. */
const CLOCKS_DIFFER_SECONDS = 1;

export interface BatchSetup {
  readonly side: Side;
  readonly guest: string;
  readonly timeoutSeconds: number;
  readonly onResult: (result: CaseResult) => void;
}

/** How a machine was lost. */
export interface Ending {
  readonly verdict: Verdict;
  readonly reason: string;
}

export class Batch {
  readonly #tests: readonly TestCase[];
  readonly #setup: BatchSetup;
  #output: string[] = [];
  #before = new Map<string, DiskCounters>();
  #counters: Record<string, DiskCounters> = {};
  #reason = '';
  /** How many have a result. */
  done = 0;

  constructor(tests: readonly TestCase[], setup: BatchSetup) {
    this.#tests = tests;
    this.#setup = setup;
  }

  /** Takes a line; the verdict when it ended a test. `evidence`: what is known of a test that ran out of its time. */
  take(line: ChannelLine, evidence = ''): Verdict | null {
    if (line.kind === 'begin') this.#forget();
    if (line.kind === 'output') this.#output.push(line.text);
    if (line.kind === 'reason') this.#reason = line.text;
    if (line.kind === 'counters') {
      const { role, counters } = line;
      if (line.when === 'before') this.#before.set(role, counters);
      else this.#counters[role] = countersBetween(this.#before.get(role), counters);
    }
    if (line.kind !== 'end') return null;
    const ending = verdictOf(line, this.#reason, this.#output, this.#setup.timeoutSeconds);
    const output = ending.verdict === 'pass' ? '' : this.#output.join('\n');
    const reason = [ending.reason, evidence].filter(Boolean).join('; ');
    this.#result({ ...ending, reason }, line.seconds, output);
    return ending.verdict;
  }

  /** The machine was lost: that is the result of the test that was on. False: all had ended. */
  lose(ending: Ending, seconds: number, evidence: string): boolean {
    return this.#result(ending, seconds, [...this.#output, evidence].join('\n'));
  }

  #result({ verdict, reason }: Ending, seconds: number, output: string): boolean {
    const test = this.#tests[this.done];
    if (test === undefined) return false;
    this.done += 1;
    const { side, guest } = this.#setup;
    const counters = this.#counters;
    this.#setup.onResult({ ...test, side, guest, counters, verdict, reason, seconds, output });
    this.#forget();
    return true;
  }

  #forget(): void {
    this.#output = [];
    this.#reason = '';
    this.#before = new Map();
    this.#counters = {};
  }
}

/** How the script of a test ended. */
export interface ScriptEnd {
  readonly status: number;
  readonly seconds: number;
}

/** Whether a test that ended so was cut off. */
export const ranOut = ({ status, seconds }: ScriptEnd, timeoutSeconds: number) =>
  STATUS_TIMED_OUT.includes(status) && seconds >= timeoutSeconds - CLOCKS_DIFFER_SECONDS;

/** The exit status of a case's script, in words. */
export function verdictOf(
  end: ScriptEnd,
  reason: string,
  output: readonly string[],
  timeoutSeconds: number,
): Ending {
  const { status } = end;
  if (status === 0) return { verdict: 'pass', reason: '' };
  if (status === STATUS_NOT_RUN) {
    return { verdict: 'not run', reason: reason || 'no reason given' };
  }
  if (ranOut(end, timeoutSeconds)) {
    return { verdict: 'hang', reason: `it was still running after ${timeoutSeconds} s` };
  }
  const said = output.findLast((line) => line.trim() !== '')?.trim();
  return { verdict: 'fail', reason: reason || said || `exit status ${status}` };
}
