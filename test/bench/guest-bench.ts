/**
 * `make bench-guest`: fio in a virtual machine whose three disks are one image behind vloop, behind
 * qemu-storage-daemon and behind QEMU's own virtio-blk. The guest measures them in turns, in one boot. Prints the
 * conditions and a table; --json writes every round.
 */
import { randomFillSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { mustRun } from '../support/bounded-process.ts';
import { type GuestAssets, requireGuestAssets } from '../support/guest-assets.ts';
import { GuestLab } from '../support/guest-lab.ts';
import type { Guest } from '../support/guest-vm.ts';
import { openTrixieRoot, type TrixieRoot, type Workspace } from '../support/trixie-root.ts';
import { type Conditions, readConditions } from './conditions.ts';
import {
  beginMark,
  type GuestRun,
  guestRuns,
  guestScript,
  guestWorkloads,
  runFigures,
} from './guest-load.ts';
import { type GuestResult, type GuestRound, guestTable } from './guest-report.ts';
import { type GuestSide, startSides } from './guest-sides.ts';

const IMAGE = 'disk';
const MIB = 2 ** 20;
/** fio starts slowly under TCG: seconds beside the measuring itself. */
const RUN_EXTRA_MS = 30_000;
const LOOK_MS = 5;

interface GuestBenchOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly imageMib: number;
  readonly json: string | undefined;
  readonly vloop: readonly string[];
}

const usage = `make bench-guest, or: node test/bench/guest-bench.ts [options]
  --rounds=N       rounds for each workload (3), after one that is not counted
  --seconds=N      length of one measurement (2)
  --image-mib=N    size of the image, kept in the host's page cache (256)
  --vloop=OPTION   a further option for vloop; may be repeated
  --json=FILE      every figure, for a machine to read
`;

const print = (text: string) => process.stdout.write(`${text}\n`);
const progress = (text: string) => process.stderr.write(`${text}\n`);

function parseOptions(argv: readonly string[]): GuestBenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '2' },
      'image-mib': { type: 'string', default: '256' },
      vloop: { type: 'string', multiple: true, default: [] },
      json: { type: 'string' },
    },
  });
  return {
    rounds: atLeastOne('rounds', values.rounds),
    seconds: atLeastOne('seconds', values.seconds),
    imageMib: atLeastOne('image-mib', values['image-mib']),
    json: values.json,
    vloop: values.vloop,
  };
}

function atLeastOne(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new Error(`--${option}=${text}: not a whole number above 0`);
  }
  return value;
}

/** Follows the guest through its runs; the back-end's CPU is read when each begins and ends. */
async function follow(
  guest: Guest,
  runs: readonly GuestRun[],
  sides: readonly GuestSide[],
  seconds: number,
): Promise<GuestResult[]> {
  const rounds = new Map<string, GuestRound[]>();
  for (const run of runs) {
    const side = sides[run.side]!;
    const timeoutMs = seconds * 1000 + RUN_EXTRA_MS;
    await guest.says(beginMark(run), timeoutMs);
    const cpuBefore = side.cpuSeconds();
    const deadline = performance.now() + timeoutMs;
    let figures = runFigures(guest.serial, run);
    for (; figures === null; figures = runFigures(guest.serial, run)) {
      if (performance.now() > deadline) {
        throw new Error(`fio has not ended\n${(await guest.evidence()).text}`);
      }
      await sleep(LOOK_MS);
    }
    const cpuAfter = side.cpuSeconds();
    if (run.round === 0) continue;
    const cpuSeconds = cpuBefore === null || cpuAfter === null ? null : cpuAfter - cpuBefore;
    const { iops, requests } = figures;
    const key = `${run.workload}.${run.side}`;
    const cpuSecondsPerMillion = cpuSeconds === null ? null : (cpuSeconds / requests) * 1e6;
    rounds.set(key, [...(rounds.get(key) ?? []), { iops, cpuSecondsPerMillion }]);
    const { name } = guestWorkloads[run.workload]!;
    progress(`${name}, round ${run.round}: ${side.label} ${iops.toFixed(0)} IOPS`);
  }
  return guestWorkloads.flatMap(({ name: workload }, w) =>
    sides.map(({ label: side }, s) => ({
      workload,
      side,
      rounds: rounds.get(`${w}.${s}`) ?? [],
    })),
  );
}

/** Random bytes, all of them in the page cache. */
function makeImage(path: string, sizeMib: number): void {
  for (let i = 0; i < sizeMib; i++) {
    writeFileSync(path, randomFillSync(Buffer.alloc(MIB)), { flag: i === 0 ? 'w' : 'a' });
  }
}

async function measure(
  assets: GuestAssets,
  workspace: Workspace,
  options: GuestBenchOptions,
): Promise<GuestResult[]> {
  const { rounds, seconds } = options;
  makeImage(workspace.onHost(IMAGE), options.imageMib);
  const { sides, stop } = await startSides(workspace, IMAGE, options.vloop);
  const lab = new GuestLab(assets);
  try {
    const runs = guestRuns(rounds, guestWorkloads.length, sides.length);
    const serials = sides.map(({ serial }) => serial);
    const guest = await lab.boot({
      script: guestScript(runs, serials, seconds),
      programs: ['fio'],
      arguments: sides.flatMap(({ qemuArguments }) => qemuArguments),
    });
    const results = await follow(guest, runs, sides, seconds);
    await guest.finish();
    return results;
  } finally {
    await lab.close();
    await stop();
  }
}

async function conditionLines(conditions: Conditions, accelerator: string): Promise<string[]> {
  const c = conditions;
  const qemu = (await mustRun(['qemu-system-x86_64', '--version'], 10_000)).split('\n')[0];
  return [
    `${c.cpu}, ${c.memoryGib} GiB, ${c.kernel}, ${(c.othersBefore * 100).toFixed(0)} % busy before`,
    `guest: 2 CPUs under ${accelerator}, ${qemu}; fio with io_uring and direct=1 inside`,
    `image: ${c.imageMib} MiB on ${c.fileSystem}, in the host's page cache; one queue each`,
    `vloop ${c.commit} on Node ${c.node}, --direct-io=off`,
    `peers: ${c.peer}; QEMU's virtio-blk with an iothread, aio=io_uring, cache.direct=off`,
  ];
}

async function bench(assets: GuestAssets, root: TrixieRoot, options: GuestBenchOptions) {
  const workspace = root.makeWorkspace();
  // A signal must not leave the image behind; guest and back-ends die with this process.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      workspace.remove();
      process.exit(130);
    });
  }
  try {
    const { hostPath } = workspace;
    const { imageMib } = options;
    const conditions = await readConditions(root, hostPath, { imageMib, busy: false });
    const results = await measure(assets, workspace, options);
    const lines = await conditionLines(conditions, assets.accelerator);
    print([...lines, '', guestTable(results, 'vloop')].join('\n'));
    if (options.json !== undefined) {
      const { accelerator } = assets;
      const report = { conditions, accelerator, options, results };
      writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
    }
  } finally {
    workspace.remove();
  }
}

async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes('--help')) {
    print(usage);
    return;
  }
  const options = parseOptions(argv);
  const opened = await requireGuestAssets('bench-guest');
  if (!opened.ok) return;
  const root = await openTrixieRoot();
  if (root.ok) await bench(opened.assets, root.root, options);
  else print(`skipped: bench-guest: ${root.reason}`);
}

await main(process.argv.slice(2)).catch((error: Error) => {
  process.stderr.write(`bench-guest: ${error.message}\n`);
  process.exitCode = 1;
});
