/**
 * `make bench-micro`: what a chain, an SQE, a completion and a whole turn cost, against the figures that the
 * repository keeps (micro-baseline.json). Fails when one got slower. `--fast` is the short form of `make check`;
 * `--update` makes the present figures the baseline; `--instructions` counts those of a request instead.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  type Baseline,
  baselineOf,
  bestOf,
  CHECK_TOLERANCE,
  complaints,
  type Figure,
  FOREIGN_TOLERANCE,
  foreign,
  judge,
  TOLERANCE,
  table,
  typicalOf,
} from './micro-baseline.ts';
import { instructionsOf } from './micro-instructions.ts';

const RUN = join(import.meta.dirname, 'micro-run.ts');
const BASELINE = join(import.meta.dirname, 'micro-baseline.json');
/** A run that looks slow is repeated, in a new process: V8 does not compile the same way each time. */
const TRIES = 3;
const UPDATE_RUNS = 9;
/** What instructions are counted of: the usual request of a driver without and with indirect descriptors. */
const COUNTED = ['turn, 1 segment, direct', 'turn, 4 segments, indirect'];
const RUN_LIMIT_MS = 60_000;

const CPU = cpus()[0]?.model.trim() ?? 'unknown';

const print = (text: string) => process.stdout.write(`${text}\n`);

function measure(msPerSubject: number): Figure[] {
  const { status, signal, stdout } = spawnSync(process.execPath, [RUN, String(msPerSubject)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: RUN_LIMIT_MS,
  });
  if (status !== 0) throw new Error(`a run ended with ${signal ?? `status ${status}`}`);
  return JSON.parse(stdout) as Figure[];
}

function update(msPerSubject: number): void {
  const runs = Array.from({ length: UPDATE_RUNS }, () => measure(msPerSubject));
  const baseline = baselineOf(typicalOf(runs), CPU, process.versions.node);
  writeFileSync(BASELINE, `${JSON.stringify(baseline, null, 2)}\n`);
  print(table(judge(typicalOf(runs), baseline, TOLERANCE)));
  print(`the baseline is the median of ${UPDATE_RUNS} runs`);
}

/** Tries until nothing is slower. The sentences that are left. */
function compare(msPerSubject: number, usualTolerance: number, quiet: boolean): string[] {
  const baseline = JSON.parse(readFileSync(BASELINE, 'utf8')) as Baseline;
  const difference = foreign(baseline, CPU, process.versions.node);
  const tolerance = difference === null ? usualTolerance : FOREIGN_TOLERANCE;
  if (difference !== null) print(`${difference}: ${tolerance} times as long is slower`);
  const tries: Figure[][] = [];
  for (;;) {
    tries.push(measure(msPerSubject));
    const verdicts = judge(bestOf(tries), baseline, tolerance);
    const left = complaints(verdicts, baseline);
    if (left.length > 0 && tries.length < TRIES) continue;
    if (!quiet || left.length > 0) print(table(verdicts));
    if (left.length > 0) left.push(`(best of ${TRIES} runs; --update accepts them)`);
    return left;
  }
}

const { values } = parseArgs({
  options: {
    fast: { type: 'boolean', default: false },
    update: { type: 'boolean', default: false },
    instructions: { type: 'boolean', default: false },
  },
});
const msPerSubject = values.fast ? 60 : 200;
if (values.instructions) {
  for (const subject of COUNTED) print(instructionsOf(subject));
} else if (values.update) {
  update(msPerSubject);
} else {
  const left = compare(msPerSubject, values.fast ? CHECK_TOLERANCE : TOLERANCE, values.fast);
  for (const sentence of left) print(sentence);
  if (left.length > 0) process.exitCode = 1;
  else if (values.fast) print('micro-benchmark: nothing takes much longer than the baseline says');
}
