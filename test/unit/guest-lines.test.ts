/**
 * Lines that a guest causes: how many of a kind are said, that what is left out is counted and told of, also when the
 * flood has ended, that one disk's flood takes nothing from another's lines, and that memory is bounded.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { GUEST_LIMITS, GuestLines, REPORT_AFTER_MS } from '../../src/log/guest-lines.ts';
import { LineBudget } from '../../src/log/line-budget.ts';

interface Said {
  readonly level: string;
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

let nowMs: number;
let timers: Array<{ readonly atMs: number; readonly callback: () => void }>;

beforeEach(() => {
  nowMs = 1000;
  timers = [];
});

/** Time passes, and what is due is called. */
function pass(milliseconds: number): void {
  const end = nowMs + milliseconds;
  for (;;) {
    const due = timers.filter(({ atMs }) => atMs <= end).sort((a, b) => a.atMs - b.atMs)[0];
    if (due === undefined) break;
    timers = timers.filter((timer) => timer !== due);
    nowMs = due.atMs;
    due.callback();
  }
  nowMs = end;
}

function diskLines(enabled: readonly string[] = ['info', 'warn', 'error']) {
  const said: Said[] = [];
  const take = (level: string) => (fields: unknown, text: unknown) => {
    if (!enabled.includes(level)) return;
    said.push({ level, text: String(text), fields: fields as Said['fields'] });
  };
  const lines = new GuestLines(
    {
      debug: take('debug'),
      info: take('info'),
      warn: take('warn'),
      error: take('error'),
      isLevelEnabled: (level) => enabled.includes(level),
    },
    {
      nowMs: () => nowMs,
      after(milliseconds, callback) {
        const timer = { atMs: nowMs + milliseconds, callback };
        timers.push(timer);
        return () => {
          timers = timers.filter((other) => other !== timer);
        };
      },
    },
  );
  const texts = (text: string) => said.filter((line) => line.text === text);
  const reports = () => said.filter(({ fields }) => fields['suppressed'] !== undefined);
  return { lines, said, texts, reports };
}

describe('a flood of one kind', () => {
  test('is said a few times, counted, and told of when it has ended', () => {
    const { lines, texts, reports } = diskLines();
    for (let i = 0; i < 5000; i++) lines.say('warn', { i }, 'broke');
    expect(texts('broke')).toHaveLength(GUEST_LIMITS.burst);
    expect(texts('broke').map(({ fields }) => fields['i'])).toEqual([
      ...Array(GUEST_LIMITS.burst).keys(),
    ]);
    expect(reports()).toEqual([]);
    pass(REPORT_AFTER_MS);
    const suppressed = { broke: 5000 - GUEST_LIMITS.burst };
    expect(reports()).toMatchObject([{ level: 'warn', fields: { suppressed } }]);
    // Once: a flood that has ended is over.
    pass(10 * REPORT_AFTER_MS);
    expect(reports()).toHaveLength(1);
    expect(timers).toEqual([]);
  });

  test('that lasts a day costs a few lines a minute, and every one of it is said or counted', () => {
    const { lines, said, texts, reports } = diskLines();
    const perMinute = 600;
    const minutes = 24 * 60;
    for (let i = 0; i < minutes * perMinute; i++) {
      lines.say('warn', {}, 'broke');
      pass(60_000 / perMinute);
    }
    pass(REPORT_AFTER_MS);
    expect(said.length).toBeLessThan(5 * minutes);
    const counted = reports().reduce(
      (sum, { fields }) => sum + (fields['suppressed'] as { broke: number }).broke,
      0,
    );
    expect(texts('broke').length + counted).toBe(minutes * perMinute);
  });

  test('keeps neither another kind nor another disk from being heard', () => {
    const [flooded, other] = [diskLines(), diskLines()];
    for (let i = 0; i < 1000; i++) flooded.lines.say('warn', {}, 'broke');
    flooded.lines.say('info', {}, 'connected');
    other.lines.say('warn', {}, 'broke');
    expect(flooded.texts('connected')).toHaveLength(1);
    expect(other.texts('broke')).toHaveLength(1);
    pass(REPORT_AFTER_MS);
    expect(other.reports()).toEqual([]);
  });

  test('is forgiven after a while', () => {
    const { lines, texts } = diskLines();
    for (let i = 0; i < 100; i++) lines.say('warn', {}, 'broke');
    pass(GUEST_LIMITS.refillMs * GUEST_LIMITS.burst);
    for (let i = 0; i < 100; i++) lines.say('warn', {}, 'broke');
    expect(texts('broke')).toHaveLength(2 * GUEST_LIMITS.burst);
  });
});

test('several kinds are told of in one line, at once when the disk ends', () => {
  const { lines, reports } = diskLines();
  for (let i = 0; i < GUEST_LIMITS.burst + 3; i++) lines.say('warn', {}, 'broke');
  for (let i = 0; i < GUEST_LIMITS.burst + 4; i++) lines.say('info', {}, 'connected');
  lines.report();
  expect(reports()).toMatchObject([{ fields: { suppressed: { broke: 3, connected: 4 } } }]);
  lines.report();
  pass(10 * REPORT_AFTER_MS);
  expect(reports()).toHaveLength(1);
});

test('a guest that comes and goes once a minute is told of every time', () => {
  const { lines, texts, reports } = diskLines();
  for (let i = 0; i < 500; i++) {
    lines.say('info', {}, 'connected');
    pass(30_000);
    lines.say('info', {}, 'disconnected');
    pass(30_000);
  }
  expect([texts('connected').length, texts('disconnected').length]).toEqual([500, 500]);
  expect(reports()).toEqual([]);
});

test('what the level leaves out is limited for those who hear of it, and told to nobody', () => {
  const { lines, said } = diskLines(['error']);
  const heard = Array.from({ length: 100 }, () => lines.say('warn', {}, 'broke'));
  expect(heard.filter(Boolean)).toHaveLength(GUEST_LIMITS.burst);
  lines.report();
  pass(10 * REPORT_AFTER_MS);
  expect(said).toEqual([]);
});

test('a million kinds take no more memory than some', () => {
  const budget = new LineBudget<string>({ burst: 1, refillMs: 1000, kinds: 8 }, 'others');
  let said = 0;
  for (let i = 0; i < 1_000_000; i++) if (budget.take(`kind ${i}`, 0)) said++;
  expect(said).toBe(8);
  const counts = budget.takeSuppressed();
  expect([...counts]).toEqual([['others', 1_000_000 - 8]]);
});
