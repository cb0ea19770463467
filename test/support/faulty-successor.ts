/**
 * A vloop that takes over and fails on the way, at a step of its choice: it is killed there, says no more, or
 * refuses. Everything before that it does as the real one. Arguments: what, the step, and vloop's own.
 * Run by Node itself; see FaultySuccessor in faulty-successor-script.ts.
 */
import { HandOverLink, type Step } from '../../src/cli/hand-over-link.ts';

const [, , what, at] = process.argv;
const send = HandOverLink.prototype.send;

HandOverLink.prototype.send = async function (step: Step, limitMs: number): Promise<void> {
  if (step.step === at) {
    if (what === 'dies') process.kill(process.pid, 'SIGKILL');
    if (what === 'refuses') throw new Error('it does not want to');
    // Anything but going on; a timer, so that the process stays.
    await new Promise((resolve) => setTimeout(resolve, 60_000));
  }
  await send.call(this, step, limitMs);
};

process.argv.splice(2, 2);
await import('../../src/cli/main.ts');
