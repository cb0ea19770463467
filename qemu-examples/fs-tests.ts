/**
 * fs-tests: one command that builds a guest image, boots it with vloop disks and runs xfstests, blktests or the packaged
 * suite on them; `--help` lists the options. Only puts the parts of fs-tests/ together: what may go wrong ends here as one
 * line and an exit status.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { run } from '../test/support/bounded-process.ts';
import { EnvironmentError, UsageError } from './fs-tests/cases.ts';
import { openImage } from './fs-tests/image.ts';
import { planText } from './fs-tests/lane.ts';
import { readNamedFile } from './fs-tests/named-file.ts';
import { helpText, parseCommandLine, type RunOptions } from './fs-tests/options.ts';
import { listedTests, makePlan } from './fs-tests/plan.ts';
import { runTests } from './fs-tests/run.ts';

const ACCELERATOR_TIMEOUT_MS = 300_000;
const EXIT = { usage: 2, environment: 3, interrupted: 130, terminated: 143 } as const;
const SIGNAL_ECHO_MS = 2000;
const LIB = join(import.meta.dirname, 'lib');
const DEFAULT_LIST = join(import.meta.dirname, 'fs-tests/lists/integrity.list');

async function accelerator(signal: AbortSignal): Promise<'kvm' | 'tcg'> {
  const { status, stdout, stderr } = await run(
    ['bash', join(LIB, 'accel.sh')],
    ACCELERATOR_TIMEOUT_MS,
    signal,
  );
  if (status === 0) return stdout.trim() === 'kvm' ? 'kvm' : 'tcg';
  throw new EnvironmentError(stderr.trim().split('\n').at(-1) ?? 'no accelerator');
}

function readList(path: string | null): string | null {
  if (path === null) return null;
  return readNamedFile('list', path).toString();
}

/** A name that the tree does not have is refused before minutes are spent on building. */
function checkNames(options: RunOptions, listText: string | null): void {
  const [suite] = options.suites;
  const tree = suite === 'xfstests' ? options.xfstestsDir : options.blktestsDir;
  if (
    suite === 'packaged' ||
    suite === 'checker' ||
    tree === null ||
    !existsSync(join(tree, 'tests'))
  )
    return;
  const names = options.tests.length > 0 ? options.tests : listedTests(listText ?? '');
  const unknown = names.find((name) => !existsSync(join(tree, 'tests', name)));
  if (unknown !== undefined) throw new UsageError(`no test ${unknown} in ${tree}`);
}

async function main(options: RunOptions, stop: AbortController): Promise<number> {
  const listText = readList(options.listFile);
  checkNames(options, listText);
  const image = await openImage(options, stop.signal);
  const defaultList = readFileSync(DEFAULT_LIST, 'utf8');
  const plan = makePlan({ options, listText, defaultList }, image.lists);
  if (options.printPlan) {
    process.stdout.write(planText(plan));
    return 0;
  }
  const workFolder = mkdtempSync(join(tmpdir(), 'vloop-fs-'));
  const remove = () => rmSync(workFolder, { recursive: true, force: true });
  // Also when a second signal ends this at once.
  process.once('exit', remove);
  try {
    const place = { workFolder, output: resolve(options.output) };
    return await runTests(
      { options, image, plan, ...place, accelerator: await accelerator(stop.signal) },
      stop,
    );
  } finally {
    remove();
  }
}

/**
 * Interrupted: the first signal ends the guests and reports what there is; a later one ends at once. timeout(1) and terminals
 * send one to the process and one to its group, which is no second wish.
 */
function stopOnSignals(stop: AbortController): () => number | null {
  let status: number | null = null;
  let first = 0;
  const onSignal = (code: number) => () => {
    if (status !== null) {
      if (performance.now() - first > SIGNAL_ECHO_MS) process.exit(status);
      return;
    }
    status = code;
    first = performance.now();
    process.stderr.write('fs-tests: interrupted, the guests are ended\n');
    stop.abort(new Error('interrupted'));
  };
  process.on('SIGINT', onSignal(EXIT.interrupted));
  process.on('SIGTERM', onSignal(EXIT.terminated));
  process.on('SIGHUP', onSignal(EXIT.terminated));
  return () => status;
}

const stop = new AbortController();
const interruptedWith = stopOnSignals(stop);
try {
  const options = parseCommandLine(process.argv.slice(2));
  if (options.help) process.stdout.write(helpText());
  else process.exitCode = await main(options, stop);
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  if (interruptedWith() === null) process.stderr.write(`fs-tests: ${message}\n`);
  // A folder for results that is none, or is full, says so itself.
  const ofFile = error instanceof Error && 'syscall' in error;
  const known = ofFile || error instanceof UsageError || error instanceof EnvironmentError;
  if (!known && interruptedWith() === null && error instanceof Error) {
    process.stderr.write(`${error.stack}\n`);
  }
  process.exitCode = error instanceof UsageError ? EXIT.usage : EXIT.environment;
}
process.exitCode = interruptedWith() ?? process.exitCode ?? 0;
