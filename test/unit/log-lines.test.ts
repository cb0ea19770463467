/**
 * Log lines on their way out: what is written for people, and what becomes of lines that cannot be written.
 */
import { describe, expect, test } from 'vitest';
import { LineSink } from '../../src/log/line-sink.ts';
import { prettyLine, wantsColour } from '../../src/log/pretty-line.ts';

const LINE = {
  level: 40,
  time: new Date(2026, 1, 3, 4, 5, 6, 78).getTime(),
  pid: 7,
  name: 'vloop',
};
const json = (fields: object) => `${JSON.stringify({ ...LINE, ...fields })}\n`;

describe('a line for people', () => {
  test('has time, level, process, disk, text and fields', () => {
    const line = json({
      disk: 'a.img',
      vring: 3,
      why: 'no space',
      list: { a: 1 },
      msg: 'it broke',
    });
    expect(prettyLine(line, false)).toBe(
      '2026-02-03 04:05:06.078 WARN  [7] a.img: it broke vring=3 why="no space" list={"a":1}\n',
    );
  });

  test('stays one line and harmless to a terminal, whatever is in it', () => {
    const hostile = 'a\nb\u001b[2J\u009b\u202e\u007f';
    const line = prettyLine(json({ disk: hostile, [hostile]: hostile, msg: hostile }), false);
    // What is left of control characters: the end of the line.
    expect(
      [...line].filter((character) => /\p{C}|\p{Z}/u.test(character) && character !== ' '),
    ).toEqual(['\n']);
    expect(line.endsWith('\n')).toBe(true);
    expect(line).toContain('a\\u000ab\\u001b[2J\\u009b\\u202e\\u007f');
  });

  test('that is no line of the log stays as it is', () => {
    for (const text of ['vloop: no\n', '{"a":1}\n', '{"level":', '[]\n', '']) {
      expect(prettyLine(text, true)).toBe(text);
    }
  });

  test('is coloured on a terminal that takes colour only', () => {
    expect(prettyLine(json({ msg: 'x' }), true)).toContain('\u001b[33mWARN \u001b[0m');
    expect(wantsColour(true, {})).toBe(true);
    expect(wantsColour(true, { NO_COLOR: '' })).toBe(true);
    expect(wantsColour(true, { NO_COLOR: '0' })).toBe(false);
    expect(wantsColour(true, { TERM: 'dumb' })).toBe(false);
    expect(wantsColour(false, {})).toBe(false);
  });
});

describe('a line that cannot be written', () => {
  /** Takes what `room` says, call by call; a string is an error. */
  function sinkOf(...room: ReadonlyArray<number | string>) {
    let written = '';
    let calls = 0;
    const sink = new LineSink(
      2,
      (line) => line,
      (bytes) => {
        const answer = room[calls++] ?? bytes.length;
        if (typeof answer === 'string') throw Object.assign(new Error(answer), { code: answer });
        const taken = Math.min(answer, bytes.length);
        written += Buffer.from(bytes.subarray(0, taken)).toString();
        return taken;
      },
    );
    return { sink, written: () => written, calls: () => calls };
  }

  test.each(['EIO', 'EPIPE', 'ENOSPC', 'EBADF'])(
    'is lost, counted and told of later: %s',
    (code) => {
      const { sink, written } = sinkOf(code, code);
      for (const line of ['one\n', 'two\n', 'three\n']) sink.write(line);
      const [lost, three] = written().split('\n');
      expect(JSON.parse(lost!)).toMatchObject({
        level: 40,
        lines: 2,
        msg: 'lines of the log were lost',
      });
      expect(three).toBe('three');
      sink.write('four\n');
      expect(written().endsWith('three\nfour\n')).toBe(true);
    },
  );

  test('is finished after a part of it was taken', () => {
    const { sink, written } = sinkOf(1, 'EAGAIN', 1);
    sink.write('one\n');
    expect(written()).toBe('one\n');
  });

  test('and was begun does not run into the next one', () => {
    const { sink, written } = sinkOf(2, 'ENOSPC');
    sink.write('one\n');
    sink.write('two\n');
    expect(written()).toMatch(/^on\n\{.*"lines":1.*\}\ntwo\n$/);
  });

  test('to a reader that hangs is waited for once, not line by line', () => {
    const { sink, calls } = sinkOf(...new Array<string>(1000).fill('EAGAIN'));
    sink.write('one\n');
    const patient = calls();
    expect(patient).toBeGreaterThan(1);
    for (let i = 0; i < 10; i++) sink.write('two\n');
    expect(calls()).toBe(patient + 10);
  });
});
