/**
 * `make bench`: vloop against qemu-storage-daemon and the host's own limit, same file, same clients, alternating.
 * Prints the conditions, a table of medians for each kind of file, and whether the project's targets are met;
 * --json writes every round, --markdown the tables.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { CpuLatencyRequest } from '../../src/sys/cpu-latency.ts';
import { openTrixieRoot, type TrixieRoot, type Workspace } from '../support/trixie-root.ts';
import { BackingFiles } from './backing-files.ts';
import { BlkioClient, compileBlkioLoad } from './blkio-client.ts';
import { measureCeiling } from './ceiling.ts';
import type { Client, ClientName } from './client.ts';
import { compare } from './comparison.ts';
import { readConditions } from './conditions.ts';
import { startHog } from './hog.ts';
import { AWAKE, backEndsOf, type Row } from './matrix.ts';
import { Contenders } from './opponents.ts';
import { type BenchOptions, chooseRows, parseOptions, usage } from './options.ts';
import { QemuImgClient } from './qemu-img-client.ts';
import {
  conditionLines,
  idleLine,
  markdownTable,
  othersLine,
  plainTable,
  tablesOf,
  targetTable,
} from './report.ts';
import { type RowResult, runRow } from './rounds.ts';
import { checkTargets } from './targets.ts';

const print = (text: string) => process.stdout.write(`${text}\n`);
const progress = (text: string) => process.stderr.write(`${text}\n`);

type Clients = { blkio: BlkioClient; byName: ReadonlyMap<ClientName, Client> };

async function makeClients(workspace: Workspace): Promise<Clients> {
  const { root } = workspace;
  const blkio = new BlkioClient(root, await compileBlkioLoad(workspace));
  const all: Client[] = [blkio, new QemuImgClient(root)];
  return { blkio, byName: new Map(all.map((client) => [client.name, client])) };
}

/** Rows of one set of back-ends after each other, so that each set is started once. */
function groups(rows: readonly Row[]): Row[][] {
  const byBackEnds = new Map<string, Row[]>();
  for (const row of rows) {
    const key = backEndsOf(row);
    byBackEnds.set(key, [...(byBackEnds.get(key) ?? []), row]);
  }
  return [...byBackEnds.values()];
}

/** Without the rows that this user may not measure. */
function rowsHere(options: BenchOptions): Row[] {
  const rows = chooseRows(options);
  try {
    new CpuLatencyRequest().close();
    return rows;
  } catch (error) {
    print(`no rows with ${AWAKE}: ${error instanceof Error ? error.message : error}`);
    return rows.filter(({ vloop }) => !vloop.includes(AWAKE));
  }
}

async function measureGroup(
  workspace: Workspace,
  files: BackingFiles,
  rows: readonly Row[],
  { blkio, byName }: Clients,
  options: BenchOptions & { hogPid: number | undefined },
): Promise<RowResult[]> {
  const contenders = await Contenders.start(workspace, files, rows, options);
  try {
    const queues = Math.max(...rows.map(({ workload }) => workload.queues));
    await blkio.verify(contenders.ours.backEnd, queues);
    const results: RowResult[] = [];
    for (const row of rows) {
      files.prepare(row.file);
      const client = byName.get(row.client)!;
      results.push(await runRow(row, client, contenders.forRow(row), { ...options, progress }));
    }
    return results;
  } finally {
    await contenders.stop();
  }
}

async function bench(workspace: Workspace, files: BackingFiles, options: BenchOptions) {
  const rows = rowsHere(options);
  const clients = await makeClients(workspace);
  const conditions = await readConditions(workspace.root, workspace.hostPath, options);
  const ceiling = await measureCeiling(workspace, clients.blkio, options.seconds);
  const hog = options.busy ? startHog() : undefined;
  const results: RowResult[] = [];
  const sets = groups(rows);
  try {
    // The first start of a clone compiles vloop and keeps 14 MiB of that: no row is about it.
    await (await Contenders.start(workspace, files, sets[0]!, options)).stop();
    for (const group of sets) {
      const withHog = { ...options, hogPid: hog?.pid };
      results.push(...(await measureGroup(workspace, files, group, clients, withHog)));
    }
  } finally {
    await hog?.kill();
  }
  const comparisons = results.map(compare);
  const targets = checkTargets(comparisons, options.busy);
  const described = rows.map(({ client }) => clients.byName.get(client)!.describe);
  const lines = [...conditionLines(conditions, [...new Set(described)]), ceiling];
  const closing = [idleLine(comparisons), othersLine(comparisons)];
  const tables = [...tablesOf(comparisons), targetTable(targets)];
  print([...lines, '', ...tables.map((table) => `${plainTable(table)}\n`), ...closing].join('\n'));
  if (options.json !== undefined) {
    const all = { conditions, ceiling, options, comparisons, targets, results };
    writeFileSync(options.json, `${JSON.stringify(all, undefined, 2)}\n`);
  }
  if (options.markdown !== undefined) {
    const list = [...lines, ...closing].map((line) => `* ${line}`).join('\n');
    writeFileSync(options.markdown, `${[list, ...tables.map(markdownTable)].join('\n\n')}\n`);
  }
}

async function inWorkspace(root: TrixieRoot, options: BenchOptions): Promise<void> {
  const workspace = root.makeWorkspace();
  const files = new BackingFiles(workspace, options.imageMib);
  const clean = () => {
    files.remove();
    workspace.remove();
  };
  // A signal must not leave files behind, in memory least of all; the processes die with this one.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => {
      clean();
      process.exit(130);
    });
  await bench(workspace, files, options).finally(clean);
}

async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes('--help')) {
    print(usage);
    return;
  }
  const options = parseOptions(argv);
  chooseRows(options);
  if (cpus().length < 2) {
    print('skipped: bench: a client and a back-end on one processor only measure the scheduler');
    return;
  }
  const opened = await openTrixieRoot({ withCompiler: true });
  if (!opened.ok) {
    print(`skipped: bench: ${opened.reason}`);
    return;
  }
  await inWorkspace(opened.root, options);
}

await main(process.argv.slice(2)).catch((error: Error) => {
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 1;
});
