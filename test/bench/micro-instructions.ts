/**
 * Instructions of a request from the avail ring to the used ring, by `perf stat` or, where the machine does not count
 * them, by valgrind. Two runs of different length are counted, so that the start and the compiler drop out of their
 * difference; the driver's side and the kernel's stand-in, a few stores a request, stay in it.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const WAVES = join(import.meta.dirname, 'micro-waves.ts');
/** By then V8 has compiled everything for good. */
const SHORT_RUN = 4000;
const LONG_RUN = 8000;
const LIMIT_MS = 120_000;
/** V8 compiles in the one thread, at the same places each time: counts repeat within a percent. */
const NODE_OPTIONS = ['--single-threaded', '--predictable', '--random-seed=1'];

/** How to run a command under a counter, and how to find the count in what that prints. */
interface Counter {
  readonly name: string;
  readonly command: readonly string[];
  readonly count: RegExp;
}

const COUNTERS: readonly Counter[] = [
  {
    name: 'perf stat',
    command: ['perf', 'stat', '-x,', '-e', 'instructions:u'],
    count: /^(\d+),.*instructions:u/m,
  },
  {
    name: 'valgrind',
    command: ['valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null'],
    count: /Collected : (\d+)/,
  },
];

/** Instructions of a command and what it printed, or null where they cannot be counted. */
function counted(
  counter: Counter,
  command: readonly string[],
): { instructions: number; printed: string } | null {
  const [program, ...args] = [...counter.command, ...command];
  const { stdout, stderr } = spawnSync(program!, args, { encoding: 'utf8', timeout: LIMIT_MS });
  const count = counter.count.exec(stderr ?? '')?.[1];
  return count === undefined ? null : { instructions: Number(count), printed: stdout };
}

/** Instructions a request, and what counted them; or why there is no figure. */
export function instructionsOf(subject: string): string {
  const without: string[] = [];
  for (const counter of COUNTERS) {
    if (counted(counter, ['true']) === null) {
      without.push(`${counter.name} counts none here`);
      continue;
    }
    const [short, long] = [SHORT_RUN, LONG_RUN].map((waves) =>
      counted(counter, [process.execPath, ...NODE_OPTIONS, WAVES, subject, String(waves)]),
    );
    if (!short || !long) {
      without.push(`${counter.name} does not run this Node`);
      continue;
    }
    const requests = (LONG_RUN - SHORT_RUN) * Number(long.printed);
    const each = (long.instructions - short.instructions) / requests;
    return [
      ...without,
      `${subject}: ${each.toFixed(0)} instructions a request (${counter.name})`,
    ].join('; ');
  }
  return without.join('; ');
}
