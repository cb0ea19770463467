/**
 * `make bench`: vloop against qemu-storage-daemon, same image, same clients, alternating. Prints the conditions, a
 * table of medians with their ranges, and whether the project's targets are met; --json writes every round.
 */
import { writeFileSync } from 'node:fs';
import { openTrixieRoot, type TrixieRoot, type Workspace } from '../support/trixie-root.ts';
import { BlkioClient, compileBlkioLoad } from './blkio-client.ts';
import { type Client, workloads } from './client.ts';
import { readConditions } from './conditions.ts';
import { type BenchOptions, parseOptions, usage } from './options.ts';
import { cacheImage, type Peers, startPeers, stopPeers } from './peers.ts';
import { QemuImgClient } from './qemu-img-client.ts';
import { checkTargets, compare, conditionLines, idleLine, table, targetLines } from './report.ts';
import { runWorkload, type WorkloadResult } from './rounds.ts';

const print = (text: string) => process.stdout.write(`${text}\n`);
const progress = (text: string) => process.stderr.write(`${text}\n`);

async function makeClients(workspace: Workspace, wanted: readonly string[]): Promise<Client[]> {
  const { root } = workspace;
  const program = await compileBlkioLoad(workspace);
  const known: Client[] = [
    new QemuImgClient(root),
    new BlkioClient(root, program, 'sleep'),
    new BlkioClient(root, program, 'spin'),
  ];
  for (const name of wanted)
    if (!known.some((client) => client.name === name)) throw new Error(`no client ${name}`);
  return known.filter(({ name }) => wanted.includes(name));
}

async function measureAll(
  workspace: Workspace,
  peers: Peers,
  clients: readonly Client[],
  options: BenchOptions,
): Promise<WorkloadResult[]> {
  const results: WorkloadResult[] = [];
  for (const client of clients)
    for (const workload of workloads) {
      if (!workload.name.includes(options.only ?? '')) continue;
      const { rounds, seconds } = options;
      cacheImage(workspace, options.pieces ?? (workload.write ? 'small' : 'large'));
      const sides = [peers.ours, peers.theirs];
      results.push(await runWorkload(client, sides, workload, { rounds, seconds, progress }));
    }
  return results;
}

async function bench(root: TrixieRoot, workspace: Workspace, options: BenchOptions) {
  const clients = await makeClients(workspace, options.clients);
  const conditions = await readConditions(
    root,
    workspace.hostPath,
    options.imageMib,
    options.directIo,
    process.execPath,
  );
  const peers = await startPeers(workspace, options);
  const results = await measureAll(workspace, peers, clients, options).finally(() =>
    stopPeers(peers),
  );
  const { ours, theirs } = peers;
  const comparisons = results.map((result) => compare(result, ours.label, theirs.label));
  const targets = checkTargets(comparisons);
  const described = clients.map(({ describe }) => describe);
  print([...conditionLines(conditions, described), ''].join('\n'));
  print(table(comparisons, ours.label, theirs.label));
  print(['', idleLine(comparisons), ...targetLines(targets)].join('\n'));
  if (options.json !== undefined) {
    const report = { conditions, clients: described, options, comparisons, targets, results };
    writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  }
}

async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes('--help')) {
    print(usage);
    return;
  }
  const options = parseOptions(argv);
  const opened = await openTrixieRoot({ withCompiler: true });
  if (!opened.ok) {
    print(`skipped: bench: ${opened.reason}`);
    return;
  }
  const workspace = opened.root.makeWorkspace();
  // A signal must not leave the image behind; the back-ends die with this process.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      workspace.remove();
      process.exit(130);
    });
  await bench(opened.root, workspace, options).finally(() => workspace.remove());
}

await main(process.argv.slice(2)).catch((error: Error) => {
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 1;
});
