/**
 * `make bench-seed`: the table of the loop driver's commit, repeated. A guest with two vloop disks, one buffered and one
 * direct, runs fio's psync with four jobs on ext4 on each, in turns; the host counts context switches of the back-ends
 * and the pages that its cache gains.
 */
import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { mustRun } from '../support/bounded-process.ts';
import { type GuestAssets, requireGuestAssets } from '../support/guest-assets.ts';
import type { GuestDisk } from '../support/guest-disk.ts';
import { GuestLab } from '../support/guest-lab.ts';
import type { Guest } from '../support/guest-vm.ts';
import { commit, fileSystem } from './conditions.ts';
import { othersShare, sampleLoad } from './machine-load.ts';
import {
  contextSwitches,
  forgetImage,
  hostCache,
  imageCacheKib,
  type Switches,
  switchesBetween,
} from './seed-host.ts';
import {
  beginMark,
  type SeedRun,
  type SeedSettings,
  seedFigures,
  seedRuns,
  seedScript,
  startMark,
} from './seed-load.ts';
import { SEED_SIDES, type SeedRound, seedPage, seedTable } from './seed-report.ts';

const MIB = 2 ** 20;
const SERIALS = ['SEED-BUFFERED', 'SEED-DIRECT'];
const MEMORY_MIB = 512;
const GUEST_CPUS = 2;
/** fio starts slowly under TCG, and what its jobs have written is synced: seconds beside the measuring itself. */
const RUN_EXTRA_MS = 90_000;
const LAYOUT_MS = 300_000;
const LOOK_MS = 5;

const usage = `make bench-seed, or: node test/bench/seed.ts [options]
  --rounds=N     rounds for each test (3), after one that is not counted
  --seconds=N    length of one measurement (4)
  --file-mib=N   size of each of the four jobs' files (160)
  --page=FILE    write conditions and tables as Markdown
  --json=FILE    every figure, for a machine to read
`;

const print = (text: string) => process.stdout.write(`${text}\n`);
const progress = (text: string) => process.stderr.write(`${text}\n`);

interface SeedOptions extends SeedSettings {
  readonly page: string | undefined;
  readonly json: string | undefined;
}

function parseOptions(argv: readonly string[]): SeedOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '4' },
      'file-mib': { type: 'string', default: '160' },
      page: { type: 'string' },
      json: { type: 'string' },
    },
  });
  const whole = (name: 'rounds' | 'seconds' | 'file-mib') => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 1) {
      throw new Error(`--${name}=${values[name]}: not a whole number above 0`);
    }
    return value;
  };
  const [rounds, seconds, fileMib] = [whole('rounds'), whole('seconds'), whole('file-mib')];
  return { rounds, seconds, fileMib, jobs: 4, page: values.page, json: values.json };
}

/** What a run changes is the difference of two of these. */
interface HostFacts {
  readonly switches: Switches;
  readonly buffersKib: number;
  readonly cachedKib: number;
  readonly imageKib: number | null;
}

function hostFacts({ image, process: { pid } }: GuestDisk): HostFacts {
  return { switches: contextSwitches(pid), ...hostCache(), imageKib: imageCacheKib(image) };
}

/** Waits for the guest's answer and compares the host before with the host now. */
async function measureRun(
  guest: Guest,
  run: SeedRun,
  disk: GuestDisk,
  limitMs: number,
): Promise<SeedRound> {
  forgetImage(disk.image);
  const before = hostFacts(disk);
  if (guest.serial.includes(startMark(run))) {
    throw new Error('the host was slower than the second that the guest gives it: try again');
  }
  const deadline = performance.now() + limitMs;
  let figures = seedFigures(guest.serial, run);
  for (; figures === null; figures = seedFigures(guest.serial, run)) {
    if (performance.now() > deadline) {
      throw new Error(`fio has not ended\n${(await guest.evidence()).text}`);
    }
    await sleep(LOOK_MS);
  }
  const after = hostFacts(disk);
  return {
    test: run.test,
    side: SEED_SIDES[run.side]!,
    ...figures,
    switches: switchesBetween(before.switches, after.switches),
    buffersKib: after.buffersKib - before.buffersKib,
    cachedKib: after.cachedKib - before.cachedKib,
    imageKib: after.imageKib === null ? null : after.imageKib - before.imageKib!,
  };
}

async function follow(
  guest: Guest,
  runs: readonly SeedRun[],
  disks: readonly GuestDisk[],
  { seconds }: SeedSettings,
): Promise<SeedRound[]> {
  const rounds: SeedRound[] = [];
  const limitMs = seconds * 1000 + RUN_EXTRA_MS;
  for (const [i, run] of runs.entries()) {
    await guest.says(beginMark(run), i === 0 ? LAYOUT_MS : limitMs);
    const round = await measureRun(guest, run, disks[run.side]!, limitMs);
    const perRequest = (round.switches / round.requests).toFixed(2);
    progress(
      `round ${run.round}: ${run.test} ${round.side}: ${round.iops.toFixed(0)} IOPS, ${perRequest} switches a request`,
    );
    if (run.round > 0) rounds.push(round);
  }
  return rounds;
}

async function measure(assets: GuestAssets, settings: SeedOptions) {
  const { rounds, jobs, fileMib } = settings;
  const lab = new GuestLab(assets);
  try {
    const sizeBytes = Math.ceil(jobs * fileMib * 1.25 + 64) * MIB;
    const modes = ['off', 'on'];
    const disks: GuestDisk[] = [];
    for (const [side, serial] of SERIALS.entries()) {
      const vloop = [`--direct-io=${modes[side]}`, `--serial=${serial}`];
      disks.push(await lab.disk(`seed${side}`, { sizeBytes, vloop }));
    }
    const where = fileSystem(disks[0]!.image);
    const runs = seedRuns(rounds, disks.length);
    const guest = await lab.boot({
      script: seedScript(runs, SERIALS, settings),
      programs: ['fio'],
      cpus: GUEST_CPUS,
      memory: `${MEMORY_MIB}M`,
      arguments: disks.flatMap((disk) => disk.qemuArguments()),
    });
    const results = await follow(guest, runs, disks, settings);
    await guest.finish();
    for (const disk of disks) await disk.stop();
    return { results, where };
  } finally {
    await lab.close();
  }
}

async function busyShare(): Promise<number> {
  const before = sampleLoad([]);
  await sleep(1000);
  return othersShare(before, sampleLoad([]));
}

async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes('--help')) {
    print(usage);
    return;
  }
  const options = parseOptions(argv);
  const opened = await requireGuestAssets('bench-seed');
  if (!opened.ok) return;
  const { assets } = opened;
  const busy = await busyShare();
  const { results, where } = await measure(assets, options);
  const qemu = (await mustRun(['qemu-system-x86_64', '--version'], 10_000)).split('\n')[0];
  const conditions = [
    `host: ${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, ` +
      `images on ${where}, ${(busy * 100).toFixed(0)} % of the CPUs busy with other things before`,
    `guest: ${GUEST_CPUS} CPUs under ${assets.accelerator}, ${MEMORY_MIB} MiB, ${qemu}` +
      (assets.accelerator === 'tcg' ? ' (emulated: its own speed limits the IOPS)' : ''),
    `fio psync, 4 KiB, ${options.jobs} jobs with a file of ${options.fileMib} MiB each (in 2015: 1500 MiB), ${options.seconds} s a run, ` +
      `${options.rounds} rounds after one that is not counted, in alternation`,
    `vloop ${await commit()} on Node ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}`,
  ];
  print([...conditions, '', seedTable(results)].join('\n'));
  if (options.page !== undefined) writeFileSync(options.page, seedPage(conditions, results));
  if (options.json !== undefined) {
    writeFileSync(options.json, `${JSON.stringify({ conditions, options, results }, null, 2)}\n`);
  }
}

await main(process.argv.slice(2)).catch((error: Error) => {
  process.stderr.write(`bench-seed: ${error.message}\n`);
  process.exitCode = 1;
});
