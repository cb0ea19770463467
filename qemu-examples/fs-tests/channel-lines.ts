/**
 * The lines that a guest sends over its channel (guest/agent.sh is the other end), as values. Pure. A line that is none
 * of them is kept as such: a kernel may print to any console.
 */
import type { DiskCounters } from './cases.ts';

export type ChannelLine =
  | { readonly kind: 'hello'; readonly kernel: string }
  /** Status 0: the disks are ready; 77: this kernel cannot have that file system; else they could not be. */
  | { readonly kind: 'prepared'; readonly status: number }
  | { readonly kind: 'begin' }
  | {
      readonly kind: 'counters';
      readonly when: 'before' | 'after';
      readonly role: string;
      readonly counters: DiskCounters;
    }
  | { readonly kind: 'output'; readonly text: string }
  | { readonly kind: 'reason'; readonly text: string }
  | { readonly kind: 'end'; readonly status: number; readonly seconds: number }
  | { readonly kind: 'ask'; readonly what: string; readonly role: string }
  /** Of the tests that one command named, no other will begin. */
  | { readonly kind: 'done' }
  | { readonly kind: 'off' }
  | { readonly kind: 'stray'; readonly text: string };

export function parseChannelLine(raw: string): ChannelLine {
  const line = raw.replace(/\r$/, '');
  if (line.startsWith('|')) return { kind: 'output', text: line.slice(1) };
  const [word, ...rest] = line.split(' ');
  switch (word) {
    case '@hello':
      return { kind: 'hello', kernel: rest.join(' ') };
    case '@prepared':
      return { kind: 'prepared', status: Number(rest[0]) };
    case '@begin':
      return { kind: 'begin' };
    case '@counters':
      return countersLine(rest) ?? { kind: 'stray', text: line };
    case '@reason':
      return { kind: 'reason', text: rest.join(' ') };
    case '@end':
      return { kind: 'end', status: Number(rest[0]), seconds: Number(rest[1]) / 1000 };
    case '@ask':
      return { kind: 'ask', what: rest[0] ?? '', role: rest[1] ?? '' };
    case '@done':
      return { kind: 'done' };
    case '@off':
      return { kind: 'off' };
    default:
      return { kind: 'stray', text: line };
  }
}

function countersLine(words: readonly string[]): ChannelLine | null {
  const [when, role, ...numbers] = words;
  const [reads, sectorsRead, writes, sectorsWritten, discards, flushes] = numbers.map(Number);
  if ((when !== 'before' && when !== 'after') || role === undefined) return null;
  if (flushes === undefined || numbers.some((text) => !/^\d+$/.test(text))) return null;
  return {
    kind: 'counters',
    when,
    role,
    counters: {
      reads: reads!,
      sectorsRead: sectorsRead!,
      writes: writes!,
      sectorsWritten: sectorsWritten!,
      discards: discards!,
      flushes,
    },
  };
}

/** What happened between two looks. A disk that was re-plugged counts from zero again. */
export function countersBetween(
  before: DiskCounters | undefined,
  after: DiskCounters,
): DiskCounters {
  const since = (key: keyof DiskCounters) => {
    const start = before?.[key] ?? 0;
    return after[key] >= start ? after[key] - start : after[key];
  };
  return {
    reads: since('reads'),
    sectorsRead: since('sectorsRead'),
    writes: since('writes'),
    sectorsWritten: since('sectorsWritten'),
    discards: since('discards'),
    flushes: since('flushes'),
  };
}
