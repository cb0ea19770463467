/**
 * A whole run: lanes side by side over the plan, progress as it goes, and at the end, whatever the end was, the tables and
 * files of what there is. Gives the exit status.
 */
import { cpus, freemem } from 'node:os';
import { join } from 'node:path';
import { type CaseResult, isGreen, SIDES, type Side, type Suite, type TestCase } from './cases.ts';
import { disksText, hostConditions } from './conditions.ts';
import { compareSides } from './difference.ts';
import { type GuestImage, packPayload } from './image.ts';
import { Journal, type KnownConditions } from './journal.ts';
import { Lane, type LaneSetup } from './lane.ts';
import type { RunOptions } from './options.ts';
import { progressLine } from './progress.ts';
import { resultTable, summaryTable } from './report.ts';
import { openResultsFolder } from './results-folder.ts';
import { openUserKernel } from './user-kernel.ts';
import { Work } from './work.ts';

export interface RunSetup {
  readonly options: RunOptions;
  readonly image: GuestImage;
  readonly plan: readonly TestCase[];
  readonly workFolder: string;
  readonly output: string;
  readonly accelerator: 'kvm' | 'tcg';
}

/** QEMU itself, and a vloop for each disk. */
const MEMORY_BESIDE_MIB = 700;

/** As a shell takes it. */
const quoted = (word: string) =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

const print = (text: string) => process.stdout.write(`${text}\n`);

/** The disks that the suites' cases use; the pool is for btrfs. */
export function rolesFor(plan: readonly TestCase[]): string[] {
  const suites = new Set<Suite>(plan.map(({ suite }) => suite));
  const pool = plan.some(({ suite, fs }) => suite === 'xfstests' && fs === 'btrfs');
  return [
    ...['test', 'scratch'],
    ...(suites.has('xfstests') ? ['logwrites'] : []),
    ...(pool ? ['pool1', 'pool2', 'pool3'] : []),
  ];
}

/** xfstests are shell scripts that keep one CPU busy; a second one, emulated, makes them a third slower. */
function vcpusHere({ accelerator, options, plan }: RunSetup): number {
  const scripts = plan.every(({ suite }) => suite === 'xfstests');
  return options.vcpus ?? (accelerator === 'tcg' && scripts ? 1 : 2);
}

/** Under TCG a guest keeps one CPU busy, whatever it has; memory has to be there for all. */
function guestsHere({ accelerator, options }: RunSetup, vcpus: number): number {
  const machines = options.compare ? SIDES.length : 1;
  const byCpus = cpus().length / (accelerator === 'tcg' ? 1 : vcpus);
  const byMemory = freemem() / 2 ** 20 / ((options.memoryMib + MEMORY_BESIDE_MIB) * machines);
  return Math.max(1, Math.floor(Math.min(byCpus, byMemory)));
}

/** Green: nothing failed on vloop; with --compare, that nothing differed: what fails on both is the kernel's or the test's. */
export function exitStatus(results: readonly CaseResult[], compare: boolean): number {
  if (compare) return compareSides(results).differences.length > 0 ? 1 : 0;
  return results.some(({ side, verdict }) => side === 'vloop' && !isGreen(verdict)) ? 1 : 0;
}

export async function runTests(setup: RunSetup, stop: AbortController): Promise<number> {
  const { options, plan, output, workFolder } = setup;
  const kernel = await openUserKernel(options.kernel, options.modules, stop.signal);
  const sides = options.compare ? SIDES : SIDES.slice(0, 1);
  const vcpus = vcpusHere(setup);
  const guests = Math.min(options.guestCount ?? guestsHere(setup, vcpus), plan.length);
  const roles = rolesFor(plan);
  const known = await knownConditions(setup, { sides, guests, vcpus, roles });
  const payload = join(workFolder, 'payload.tar');
  await packPayload(payload, options, stop.signal);
  openResultsFolder(output);
  const { qemu, append, memoryMib, vloop: vloopOptions, timeoutSeconds } = options;
  const { accelerator, image } = setup;
  const journal = new Journal(output, known, plan);
  journal.save();
  const total = plan.length * sides.length;
  print(
    `${total} tests, ${guests} ${guests === 1 ? 'guest' : 'guests'} side by side under ${accelerator}, results in ${output}`,
  );
  const lane: Omit<LaneSetup, 'number'> = {
    ...{ sides, timeoutSeconds, signal: stop.signal },
    machine: {
      ...{
        qemu,
        accelerator,
        image: image.folder,
        kernel,
        append,
        payload,
        vcpus,
        memoryMib,
        roles,
      },
      ...{ vloopOptions, workFolder, keepFolder: join(output, 'guests'), signal: stop.signal },
    },
    onResult: (result) => {
      journal.add(result);
      const { count: done, elapsedSeconds } = journal;
      print(progressLine(result, { done, total, elapsedSeconds, showSide: options.compare }));
    },
    onNote: (sentence) => process.stderr.write(`fs-tests: ${sentence}\n`),
    onBoot: ({ name, kernel: release }, seconds) => {
      journal.guestKernel = release;
      print(`${name}: Linux ${release} is up after ${seconds.toFixed(1)} s`);
    },
  };
  const failure = await runLanes(guests, lane, new Work(plan, guests), stop);
  journal.save();
  const { results, difference } = journal;
  if (results.length > 0) {
    print(`\n${resultTable(results)}\n\n${summaryTable(results)}`);
    if (difference !== null) print(difference);
  }
  if (failure !== null) throw failure;
  return exitStatus(results, options.compare);
}

async function knownConditions(
  { options, image, accelerator, workFolder }: RunSetup,
  shape: { sides: readonly Side[]; guests: number; vcpus: number; roles: readonly string[] },
): Promise<KnownConditions> {
  const { sides, guests, vcpus, roles } = shape;
  const { memoryMib, vloop } = options;
  return {
    ...(await hostConditions(workFolder, options.qemu)),
    ...{ accelerator, guests, vcpus, memoryMib, sides },
    image: image.recipe.trim().replaceAll('\n', ', '),
    command: ['fs-tests', ...process.argv.slice(2).map(quoted)].join(' '),
    cacheMode: ['direct I/O where the file takes it, write-back cache', ...vloop].join(', '),
    disks: disksText(roles),
  };
}

/** All lanes to their end; one that cannot go on takes the others along. Its reason, or null. */
async function runLanes(
  count: number,
  setup: Omit<LaneSetup, 'number'>,
  work: Work,
  stop: AbortController,
): Promise<Error | null> {
  const ends = await Promise.allSettled(
    Array.from({ length: count }, async (_, index) => {
      try {
        await new Lane({ ...setup, number: index + 1 }).run(work);
      } catch (error) {
        if (!stop.signal.aborted) stop.abort(error);
        throw error;
      }
    }),
  );
  const failed = ends.some(({ status }) => status === 'rejected');
  if (!failed) return null;
  const reason: unknown = stop.signal.reason;
  return reason instanceof Error ? reason : new Error(String(reason));
}
