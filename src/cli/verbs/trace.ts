/**
 * `vloop trace`: the requests of a disk as they end, a line each, until Ctrl-C. What came faster than it could be
 * told is left out and counted.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { OP_NAMES, type OpName } from '../../blk/op-names.ts';
import type { RpcClient } from '../../control/rpc-client.ts';
import type { TracedLine } from '../../control/schema/disk-trace.ts';
import { OptionsError } from '../option-values.ts';
import { bytesText, timeText } from './figures-text.ts';
import { pickDisk, withDisks } from './processes.ts';
import type { Verb, VerbArgs } from './verb.ts';

const LOOK_EVERY_MS = 100;
const COUNT_MAX = 1e9;

function opsOf({ values }: VerbArgs): OpName[] {
  const wanted = values['op'];
  if (typeof wanted !== 'string') return [...OP_NAMES];
  return wanted.split(',').map((word) => {
    const found = OP_NAMES.find((op) => op === word.replaceAll('-', '_'));
    if (found !== undefined) return found;
    throw new OptionsError(`--op=${wanted}: expected some of ${OP_NAMES.join(', ')}`);
  });
}

function countOf({ values }: VerbArgs): number {
  const wanted = values['count'];
  if (typeof wanted !== 'string') return Number.POSITIVE_INFINITY;
  const count = Number(wanted);
  if (/^\d+$/.test(wanted) && count >= 1 && count <= COUNT_MAX) return count;
  throw new OptionsError(`--count=${wanted}: expected a number from 1 to ${COUNT_MAX}`);
}

export function traceLine(line: TracedLine): string {
  const place = line.bytes > 0 ? `sector ${line.sector} ${bytesText(line.bytes)}` : '';
  const head = `${(line.start_ms / 1000).toFixed(6)} q${line.queue} #${line.head}`;
  const cells = [head, line.op, place, timeText(line.took_us), line.status];
  return cells.filter((cell) => cell !== '').join('  ');
}

async function follow(client: RpcClient, disk: string, args: VerbArgs): Promise<void> {
  const ops = opsOf(args);
  const json = args.values['json'] === true;
  let left = countOf(args);
  const { trace } = await client.call('disk_trace', { disk, ops });
  process.stderr.write(`tracing ${disk}; Ctrl-C ends it\n`);
  while (left > 0) {
    const { requests, lost } = await client.call('disk_trace', { disk, trace });
    const shown = requests.slice(0, left);
    left -= shown.length;
    const lines = shown.map((line) => (json ? JSON.stringify(line) : traceLine(line)));
    process.stdout.write(lines.map((line) => `${line}\n`).join(''));
    if (lost > 0) process.stderr.write(`${lost} requests left out: they came too fast\n`);
    if (left > 0 && requests.length === 0) await sleep(LOOK_EVERY_MS);
  }
  await client.call('disk_trace', { disk, trace, end: true });
}

export const traceVerb: Verb = {
  summary: 'requests of a disk as they end, a line each',
  words: 'DISK',
  options: {
    op: { value: 'OPS', meaning: 'these operations, with commas: read,write,flush,…' },
    count: { value: 'N', short: 'n', meaning: 'end after so many' },
    json: { value: null, short: 'J', meaning: 'a JSON object a line' },
    help: { value: null, short: 'h', meaning: 'print this, and exit' },
  },
  async run(args) {
    await withDisks(async (found) => {
      const { status, client } = pickDisk(found, args.words[0]!);
      await follow(client, status.name, args);
    });
    return 0;
  },
};
