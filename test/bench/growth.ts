/**
 * `make bench-growth`: what a request costs vloop as depth, queues, segments, memory regions, image size and the
 * number of disks grow. Prints a table an axis; --json keeps the figures, --svg draws them, --from draws kept ones.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { commit, fileSystem } from './conditions.ts';
import { growthAxes } from './growth-axes.ts';
import { type AxisResult, measureAxis } from './growth-measure.ts';
import { costPanels, drawPanels, speedPanels } from './growth-plot.ts';
import { axisTable } from './growth-report.ts';
import { othersShare, sampleLoad } from './machine-load.ts';

const usage = `make bench-growth, or: node test/bench/growth.ts [options]
  --only=A,B      of ${growthAxes.map(({ name }) => name).join(', ')}
  --rounds=N      (3)
  --seconds=N     length of one measurement (0.7)
  --directory=DIR where images are made; its file system is what is measured (${tmpdir()})
  --json=FILE     keep every figure; axes that are in the file and not measured now stay
  --from=FILE     measure nothing: report what --json kept
  --svg=DIR       draw growth.svg (cost) and growth-speed.svg
`;

const print = (text: string) => process.stdout.write(`${text}\n`);

async function conditionLines(directory: string, rounds: number, seconds: number) {
  const before = sampleLoad([]);
  await sleep(1000);
  const others = othersShare(before, sampleLoad([]));
  const processors = cpus();
  const date = new Date().toISOString().slice(0, 10);
  return [
    `${processors.length} × ${processors[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, ` +
      `Node ${process.version}, images on ${fileSystem(directory)}; vloop ${await commit()}, ${date}`,
    `before the start other processes used ${(100 * others).toFixed(0)} % of the machine`,
    `medians of ${rounds} rounds of ${seconds} s; client: test/bench/front-end-load.ts, spinning, EVENT_IDX, indirect chains`,
  ];
}

type Method = Omit<Parameters<typeof measureAxis>[1], 'conditions'>;

async function measure(only: readonly string[], method: Method): Promise<AxisResult[]> {
  const unknown = only.find((name) => !growthAxes.some((axis) => axis.name === name));
  if (unknown !== undefined) throw new Error(`--only: no axis ${unknown}`);
  const conditions = await conditionLines(method.directory, method.rounds, method.seconds);
  const measured: AxisResult[] = [];
  for (const axis of growthAxes)
    if (only.length === 0 || only.includes(axis.name))
      measured.push(await measureAxis(axis, { ...method, conditions }));
  return measured;
}

function readKept(path: string): AxisResult[] {
  return JSON.parse(readFileSync(path, 'utf8')) as AxisResult[];
}

/** Axes measured now take the place of those that were kept. */
function merged(now: readonly AxisResult[], kept: readonly AxisResult[]): AxisResult[] {
  return growthAxes.flatMap(({ name }) => {
    const last = [...kept, ...now].findLast(({ axis }) => axis.name === name);
    return last === undefined ? [] : [last];
  });
}

/** The conditions stand once above all axes that were measured under them. */
function reportOf(measured: readonly AxisResult[]): string {
  const groups = Map.groupBy(measured, ({ conditions }) => conditions.join('\n'));
  return [...groups].flatMap(([above, axes]) => [above, '', ...axes.map(axisTable)]).join('\n');
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name}=${text}: not a positive number`);
  return value;
}

async function main(argv: readonly string[]): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: 'string', default: '' },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '0.7' },
      directory: { type: 'string', default: tmpdir() },
      json: text,
      from: text,
      svg: text,
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const { json, from, svg, directory } = values;
  const options = {
    rounds: positive('rounds', values.rounds),
    seconds: positive('seconds', values.seconds),
    directory,
    progress: (line: string) => process.stderr.write(`${line}\n`),
  };
  const only = values.only.split(',').filter((name) => name !== '');
  const now = from === undefined ? await measure(only, options) : readKept(from);
  print(reportOf(now));
  const keep = json !== undefined && only.length > 0 && existsSync(json);
  const growth = keep ? merged(now, readKept(json)) : now;
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(growth)}\n`);
  if (svg === undefined) return;
  writeFileSync(join(svg, 'growth.svg'), drawPanels(costPanels(growth)));
  writeFileSync(join(svg, 'growth-speed.svg'), drawPanels(speedPanels(growth)));
}

await main(process.argv.slice(2)).catch((error: Error) => {
  process.stderr.write(`bench-growth: ${error.message}\n`);
  process.exitCode = 1;
});
