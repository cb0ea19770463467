/**
 * One run of the micro-benchmark, in a process of its own: compiles everything by running it, then times waves of each
 * subject and of the yardstick in turns. Prints one JSON line: per subject nanoseconds and yardstick steps.
 * Usage: node micro-run.ts [milliseconds per subject]
 */
import { makeSubjects, type Subject } from './micro-subjects.ts';
import { Yardstick } from './micro-yardstick.ts';

/** The quick ones of many waves: what disturbs a wave only ever makes it longer. */
const PERCENTILE = 0.05;
const ROUNDS = 5;
const WARM_MS = 40;

interface Waves {
  readonly subject: number[];
  readonly yardstick: number[];
}

function low(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[Math.floor(values.length * PERCENTILE)]!;
}

/** Waves of both in turns, so that a clock that changes its speed changes both alike. */
function timeWaves(subject: Subject, yardstick: Yardstick, ms: number, waves: Waves): void {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    waves.yardstick.push(yardstick.wave());
    waves.subject.push(subject.wave());
  }
}

const msPerSubject = Number(process.argv[2] ?? 100);
const yardstick = new Yardstick();
const subjects = makeSubjects();
const waves = subjects.map((): Waves => ({ subject: [], yardstick: [] }));
for (let round = -2; round < ROUNDS; round++) {
  subjects.forEach((subject, i) => {
    if (round < 0) timeWaves(subject, yardstick, WARM_MS, { subject: [], yardstick: [] });
    else timeWaves(subject, yardstick, msPerSubject / ROUNDS, waves[i]!);
  });
}
const figures = subjects.map(({ name, count }, i) => {
  const ns = (low(waves[i]!.subject) * 1e6) / count;
  const stepNs = (low(waves[i]!.yardstick) * 1e6) / yardstick.count;
  return { name, ns, ratio: ns / stepNs };
});
process.stdout.write(`${JSON.stringify(figures)}\n`);
