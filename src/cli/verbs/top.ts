/**
 * `vloop top`: what disks do, anew each second, until q or Ctrl-C. Plain ANSI on the alternate screen; without a
 * terminal, or with --batch, tables one after the other. The terminal is put back however it ends.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { OptionsError } from '../option-values.ts';
import { withDisks } from './processes.ts';
import { type TopLook, topLines } from './top-text.ts';
import type { Verb, VerbArgs } from './verb.ts';

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const TO_END_OF_LINE = '\x1b[K';
const TO_END_OF_SCREEN = '\x1b[J';
/** Ctrl-C is a byte in raw mode. */
const END_KEYS = ['q', 'Q', '\x03'];
const BATCH_MAX = 1e6;
const INTERVAL_MAX_S = 3600;

async function look(words: readonly string[]): Promise<TopLook[]> {
  return await withDisks(async (found) => {
    const wanted = found.filter(({ status }) => words.length === 0 || words.includes(status.name));
    return await Promise.all(
      wanted.map(async ({ status, client }) => ({
        stats: await client.call('disk_get_stats', { disk: status.name }),
        state: status.state === 'bound' && status.connected ? 'connected' : status.state,
      })),
    );
  });
}

function numberOf({ values }: VerbArgs, name: string, fallback: number, most: number): number {
  const text = values[name];
  if (typeof text !== 'string') return fallback;
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value > 0 && value <= most) return value;
  throw new OptionsError(`--${name}=${text}: expected a number above 0, at most ${most}`);
}

/** So many tables, each of the time since the one before. */
async function batch(words: readonly string[], count: number, intervalMs: number): Promise<void> {
  let before = await look(words);
  for (let i = 0; i < count; i++) {
    await sleep(intervalMs);
    const after = await look(words);
    process.stdout.write(`${i > 0 ? '\n' : ''}${topLines(before, after).join('\n')}\n`);
    before = after;
  }
}

/** As much of the lines as the terminal has room for. */
export function screenOf(lines: readonly string[], columns: number, rows: number): string {
  const shown = lines.slice(0, Math.max(1, rows - 1));
  const cut = shown.map((line) => line.slice(0, Math.max(1, columns - 1)));
  return HOME + cut.map((line) => `${line}${TO_END_OF_LINE}\r\n`).join('') + TO_END_OF_SCREEN;
}

async function onTerminal(words: readonly string[], intervalMs: number): Promise<void> {
  const { stdin, stdout } = process;
  const ended = new AbortController();
  const leave = () => {
    stdout.write(LEAVE);
    if (stdin.isTTY) stdin.setRawMode(false);
  };
  const end = () => ended.abort();
  let lines: readonly string[] = ['looking…'];
  const draw = () => stdout.write(screenOf(lines, stdout.columns, stdout.rows));
  // Also when it ends by an error: 'exit' comes in any case.
  process.once('exit', leave);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, end);
  stdout.on('resize', draw);
  if (stdin.isTTY) {
    stdin.setRawMode(true);
    stdin.on('data', (keys: Buffer) => {
      if (END_KEYS.some((key) => keys.includes(key))) end();
    });
  }
  stdout.write(ENTER);
  let before = await look(words);
  while (!ended.signal.aborted) {
    await sleep(intervalMs, null, { signal: ended.signal }).catch(() => null);
    if (ended.signal.aborted) break;
    const after = await look(words);
    lines = [
      `vloop top  ${new Date().toLocaleTimeString()}  (q: quit)`,
      '',
      ...topLines(before, after),
    ];
    draw();
    before = after;
  }
}

export const topVerb: Verb = {
  summary: 'what disks do, anew each second: requests, bytes, latencies, in flight',
  words: '[DISK…]',
  options: {
    once: { value: null, meaning: 'one table, of one interval' },
    batch: { value: 'N', short: 'b', meaning: 'so many tables, one after the other' },
    interval: { value: 'SECONDS', short: 'i', meaning: 'time between two looks (1)' },
    help: { value: null, short: 'h', meaning: 'print this, and exit' },
  },
  async run(args) {
    const { words, values } = args;
    const intervalMs = 1000 * numberOf(args, 'interval', 1, INTERVAL_MAX_S);
    const count = values['once'] === true ? 1 : numberOf(args, 'batch', 0, BATCH_MAX);
    if (count > 0) await batch(words, Math.ceil(count), intervalMs);
    else if (process.stdout.isTTY) await onTerminal(words, intervalMs);
    else await batch(words, Number.POSITIVE_INFINITY, intervalMs);
    return 0;
  },
};
