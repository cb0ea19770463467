/** The benchmark's command line, parsed and checked. */
import { parseArgs } from 'node:util';
import { type BackEndName, backEndNames } from '../support/back-end-process.ts';
import { type ClientName, clientNames } from './client.ts';
import { type Row, rowName, rowsOf, type Suite } from './matrix.ts';

export type BenchOptions = {
  suite: Suite;
  only: string | undefined;
  clients: ClientName[];
  rounds: number;
  seconds: number;
  imageMib: number;
  busy: boolean;
  ours: BackEndName;
  vloop: string[];
  json: string | undefined;
  markdown: string | undefined;
};

export const usage = `make bench BENCH_ARGS='...', or: node test/bench/main.ts [options]
  --suite=NAME       quick: the rows that the targets are about, six minutes; full: the whole matrix (quick)
  --only=TEXT        only rows whose name holds TEXT, as "tmpfs", "depth 32" or "direct: 4k randread, depth 1"
  --clients=A,B      of blkio, qemu-img (both)
  --rounds=N         rounds for each row (5)
  --seconds=N        length of one measurement (1; three times that at a fixed rate)
  --image-mib=N      size of the files (256)
  --busy             a process that never sleeps runs beside everything, bound to one processor
  --vloop=OPTION     a further option for vloop; may be repeated
  --ours=NAME        vloop, or qemu-storage-daemon on both sides to see the method's noise
  --json=FILE        every figure, for a machine to read
  --markdown=FILE    the tables, for a document
`;

export function parseOptions(argv: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      suite: { type: 'string', default: 'quick' },
      only: { type: 'string' },
      clients: { type: 'string', default: clientNames.join(',') },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '1' },
      'image-mib': { type: 'string', default: '256' },
      busy: { type: 'boolean', default: false },
      ours: { type: 'string', default: 'vloop' },
      vloop: { type: 'string', multiple: true, default: [] },
      json: { type: 'string' },
      markdown: { type: 'string' },
    },
  });
  return {
    suite: oneOf('suite', values.suite, ['quick', 'full'] as const),
    only: values.only,
    clients: values.clients.split(',').map((name) => oneOf('clients', name, clientNames)),
    rounds: whole('rounds', values.rounds),
    seconds: positive('seconds', values.seconds),
    imageMib: whole('image-mib', values['image-mib']),
    busy: values.busy,
    ours: oneOf('ours', values.ours, backEndNames),
    vloop: values.vloop,
    json: values.json,
    markdown: values.markdown,
  };
}

/**
 * The rows that are asked for. Those of a pinned worker own two processors, so a busy machine has no room for them,
 * and none of its processors sleeps; qemu-storage-daemon has no memory disk.
 */
export function chooseRows({ suite, only, clients, busy, ours }: BenchOptions): Row[] {
  const rows = rowsOf(suite).filter(
    (row) =>
      clients.includes(row.client) &&
      rowName(row).includes(only ?? '') &&
      (ours === 'vloop' || row.file !== 'memory') &&
      !(busy && row.vloop.some((option) => option.startsWith('--cpu'))),
  );
  if (rows.length === 0) throw new Error(`no row of the ${suite} suite fits`);
  return rows;
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value)))
    throw new Error(`--${option}=${text}: not a positive number`);
  return value;
}

function whole(option: string, text: string): number {
  const value = positive(option, text);
  if (!Number.isInteger(value)) throw new Error(`--${option}=${text}: not a whole number`);
  return value;
}

function oneOf<Name extends string>(option: string, text: string, names: readonly Name[]): Name {
  const name = names.find((known) => known === text);
  if (name === undefined) throw new Error(`--${option}=${text}: one of ${names.join(', ')}`);
  return name;
}
