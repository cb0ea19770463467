/**
 * A whole run: lanes side by side over the plan, progress as it goes, and at the end, whatever the end was, the tables and
 * files of what there is. Gives the exit status.
 */
import { cpus, freemem } from 'node:os';
import { join } from 'node:path';
import { type CaseResult, isGreen, SIDES, type Suite, type TestCase } from './cases.ts';
import { disksText, hostConditions } from './conditions.ts';
import { compareSides, differenceText } from './difference.ts';
import { type GuestImage, packPayload, userKernel } from './image.ts';
import { Lane, type LaneSetup, Work } from './lane.ts';
import type { RunOptions } from './options.ts';
import { progressLine } from './progress.ts';
import { resultTable, summaryTable } from './report.ts';
import { openResultsFolder, writeResults } from './results-folder.ts';

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

/** Under TCG a guest keeps one CPU busy, whatever it has, because tests are shell scripts; memory has to be there for all. */
function guestsHere({ accelerator, options }: RunSetup): number {
  const machines = options.compare ? SIDES.length : 1;
  const byCpus = cpus().length / (accelerator === 'tcg' ? 1 : options.vcpus);
  const byMemory = freemem() / 2 ** 20 / ((options.memoryMib + MEMORY_BESIDE_MIB) * machines);
  return Math.max(1, Math.floor(Math.min(byCpus, byMemory)));
}

/** Green: nothing failed on vloop, and with --compare nothing differed. */
export function exitStatus(results: readonly CaseResult[], compare: boolean): number {
  const red = results.some(({ side, verdict }) => side === 'vloop' && !isGreen(verdict));
  if (compare) return compareSides(results).differences.length > 0 ? 1 : 0;
  return red ? 1 : 0;
}

export async function runTests(setup: RunSetup, stop: AbortController): Promise<number> {
  const { options, plan, image, output, workFolder } = setup;
  const kernel = userKernel(options.kernel);
  const sides = options.compare ? SIDES : SIDES.slice(0, 1);
  const laneCount = Math.min(options.guestCount ?? guestsHere(setup), plan.length);
  const roles = rolesFor(plan);
  openResultsFolder(output);
  const host = await hostConditions(workFolder, options.qemu);
  const payload = join(workFolder, 'payload.tar');
  await packPayload(payload);

  const began = performance.now();
  const elapsedSeconds = () => (performance.now() - began) / 1000;
  const results: CaseResult[] = [];
  let guestKernel = 'unknown';
  const total = plan.length * sides.length;
  const laneSetup: Omit<LaneSetup, 'number'> = {
    sides,
    timeoutSeconds: options.timeoutSeconds,
    signal: stop.signal,
    machine: {
      ...{
        qemu: options.qemu,
        accelerator: setup.accelerator,
        image: image.folder,
        kernel,
        payload,
      },
      ...{ vcpus: options.vcpus, memoryMib: options.memoryMib, roles, workFolder },
      ...{ vloopOptions: options.vloop, keepFolder: join(output, 'guests'), signal: stop.signal },
    },
    onResult: (result) => {
      results.push(result);
      const standing = { done: results.length, total, elapsedSeconds: elapsedSeconds() };
      print(progressLine(result, { ...standing, showSide: options.compare }));
    },
    onNote: (sentence) => process.stderr.write(`fs-tests: ${sentence}\n`),
    onKernel: (release) => {
      guestKernel = release;
    },
  };
  print(
    `${total} tests, ${laneCount} ${laneCount === 1 ? 'guest' : 'guests'} side by side under ${setup.accelerator}, results in ${output}`,
  );
  const failure = await runLanes(laneCount, laneSetup, new Work(plan), stop);
  const order = new Map(
    plan.map((test, index) => [`${test.suite} ${test.fs} ${test.name}`, index]),
  );
  results.sort(
    (a, b) =>
      order.get(`${a.suite} ${a.fs} ${a.name}`)! - order.get(`${b.suite} ${b.fs} ${b.name}`)!,
  );
  const difference = options.compare ? differenceText(compareSides(results)) : null;
  const conditions = {
    ...host,
    ...{ guestKernel, accelerator: setup.accelerator, guests: laneCount, vcpus: options.vcpus },
    ...{ memoryMib: options.memoryMib, sides, image: image.recipe.trim().replaceAll('\n', ', ') },
    command: `fs-tests ${process.argv.slice(2).join(' ')}`,
    cacheMode: `direct I/O where the file takes it, write-back cache${options.vloop.map((o) => `, ${o}`).join('')}`,
    disks: disksText(roles),
    elapsedSeconds: elapsedSeconds(),
  };
  writeResults(output, { conditions, results }, difference);
  print(`\n${resultTable(results)}\n\n${summaryTable(results)}`);
  if (difference !== null) print(difference);
  if (failure !== null) throw failure;
  return exitStatus(results, options.compare);
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
