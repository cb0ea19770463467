/**
 * The benchmark's tables: each figure under its own heading, in columns for a terminal and as Markdown; and fio's
 * answer, read into the same terms.
 */
import { describe, expect, test } from 'vitest';
import { compare } from '../bench/comparison.ts';
import { readFioAnswer } from '../bench/host-fio.ts';
import { markdownTable, plainTable, tablesOf, targetTable } from '../bench/report.ts';
import { result, round } from '../support/bench-rounds.ts';

const D32 = 'large pieces: 4k randread, depth 32';
const us = (p50: number) => ({ latencyUs: { p50, p99: 2 * p50, p999: 300 } });

const tables = tablesOf(
  [
    result('tmpfs: 4k randwrite, depth 32', { vloop: [round(9000)], io_uring: [round(3000)] }),
    result(D32, {
      vloop: [round(500_000, { ...us(9.5), clientBusy: 0.25 })],
      io_uring: [round(250_000, { ...us(40), cpuSecondsPerMillion: 4 })],
      host: [round(1_000_000)],
    }),
  ].map(compare),
);

describe('tablesOf', () => {
  test('has one table for each kind of file, in the order of the matrix', () => {
    expect(tables.map(({ title }) => title)).toEqual(['large pieces', 'tmpfs']);
  });

  test('has a line for each opponent, and figures under their headings', () => {
    const [header, ...lines] = [tables[0]!.header, ...tables[0]!.rows];
    const cells = lines.map((line) =>
      Object.fromEntries(line.map((cell, i) => [`${i} ${header[i]}`, cell])),
    );
    expect(cells[0]).toMatchObject({
      '0 workload': '4k randread, depth 32',
      '1 against': 'io_uring',
      '2 kIOPS': '500.0',
      '3 theirs': '250.0',
      '4 ratio (range)': '2.00 (2.00–2.00)',
      '5 CPU s/M': '2.00',
      '6 theirs': '4.00',
      '7 ratio': '0.50',
      '8 p50/p99/p99.9 µs': '9.5/19/300',
      '9 theirs': '40/80/300',
      '10 client': '25 %',
      '11 others': '0 %',
    });
    expect(cells[1]).toMatchObject({ '1 against': 'host', '3 theirs': '1000.0', '9 theirs': '-' });
  });

  test('every line is as long as the header', () => {
    for (const { header, rows } of tables)
      expect(rows.filter((cells) => cells.length !== header.length)).toEqual([]);
  });
});

test('a plain table lines its columns up', () => {
  const table = { title: 't', header: ['a', 'b', 'c'], rows: [['long', 'x', '1.0']] };
  expect(plainTable(table)).toBe('t\na     b    c\nlong  x  1.0');
});

test('a Markdown table aligns words left and figures right', () => {
  const target = { row: 'r', figure: 'IOPS', wanted: '≥ 1', measured: '2', met: false };
  expect(markdownTable(targetTable([target]))).toContain(
    '| row | figure | wanted | measured |  |\n| --- | --- | --: | --: | --: |\n| r | IOPS | ≥ 1 | 2 | MISSED |',
  );
});

describe('readFioAnswer', () => {
  const direction = (total_ios: number, p50: number) => ({
    total_ios,
    lat_ns: { percentile: { '50.000000': p50, '99.000000': 2 * p50, '99.900000': 3 * p50 } },
  });
  const answer = (error = 0) =>
    `fio: a warning\n${JSON.stringify({
      jobs: [
        {
          error,
          job_runtime: 4000,
          read: direction(300, 5000),
          write: direction(100, 9000),
        },
      ],
    })}`;

  test('adds reads and writes, and divides the time that fio added up over its jobs', () => {
    expect(readFioAnswer(answer(), 2)).toEqual({
      requests: 400,
      seconds: 2,
      latencyUs: { p50: 5, p99: 10, p999: 15 },
    });
  });

  test('is an error when fio met one', () =>
    expect(() => readFioAnswer(answer(5), 1)).toThrow('fio failed'));
});
