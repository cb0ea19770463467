/**
 * `vloop why`: what each request of a disk waits for and since when, and where its rings stand.
 */
import type { DiskWhy } from '../../control/schema/disk-why.ts';
import { tableLines } from './columns.ts';
import { bytesText, timeText } from './figures-text.ts';
import { pickDisk, withDisks } from './processes.ts';
import type { Verb } from './verb.ts';

/** Requests that are told in a table; the oldest are the ones to look at. */
const SHOWN_MAX = 40;

function requestLines({ requests }: DiskWhy): string[] {
  const heads = ['QUEUE', 'HEAD', 'OPERATION', 'SECTOR', 'BYTES', 'SINCE', 'WAITS FOR'];
  const rows = requests
    .slice(0, SHOWN_MAX)
    .map((request) => [
      String(request.queue),
      String(request.head),
      request.op,
      String(request.sector),
      bytesText(request.bytes),
      timeText(request.since_ms * 1000),
      request.text,
    ]);
  if (rows.length === 0) return [];
  const lines = tableLines(heads, rows, [true, true, false, true, true, true, false]);
  const more = requests.length - rows.length;
  return more > 0 ? [...lines, `and ${more} more`] : lines;
}

function queueLines({ queues }: DiskWhy): string[] {
  return queues.flatMap((queue) => {
    const states = [
      queue.enabled ? 'enabled' : 'disabled',
      ...(queue.stopping ? ['stopping'] : []),
      ...(queue.broken === null ? [] : [`broken (${queue.broken})`]),
    ];
    const counts = `size ${queue.size}, ${queue.in_flight} in flight, ${queue.available} available`;
    const signal = ({ fd, pending }: { fd: number; pending: number }) =>
      fd < 0 ? 'none' : `fd ${fd} (${pending} pending)`;
    const ring = Object.entries(queue.ring ?? {}).map(([key, value]) => `${key}=${value}`);
    return [
      `queue ${queue.queue}: ${states.join(', ')}; ${counts}; kick ${signal(queue.kick)}, call ${signal(queue.call)}`,
      `  ${ring.length === 0 ? 'the ring’s memory is away' : ring.join(' ')}`,
    ];
  });
}

export function whyText(why: DiskWhy): string {
  const parts = [why.summary, requestLines(why), queueLines(why)].filter((part) => part.length > 0);
  const lines = parts.flatMap((part) => ['', ...part.map((line) => `  ${line}`)]).slice(1);
  return `${[why.name, ...lines].join('\n')}\n`;
}

export const whyVerb: Verb = {
  summary: 'what each request in flight waits for, and since when',
  words: 'DISK',
  options: {
    json: { value: null, short: 'J', meaning: 'as JSON' },
    help: { value: null, short: 'h', meaning: 'print this, and exit' },
  },
  async run({ words, values }) {
    const why = await withDisks(async (found) => {
      const { status, client } = pickDisk(found, words[0]!);
      return await client.call('disk_why', { disk: status.name });
    });
    const text = values['json'] === true ? `${JSON.stringify(why, null, 3)}\n` : whyText(why);
    process.stdout.write(text);
    return 0;
  },
};
