/**
 * The guest benchmark without a guest: the order of its runs, what it takes from the console, and which figure
 * comes into which row.
 */
import { describe, expect, test } from 'vitest';
import { beginMark, fioFigures, guestRuns, guestScript, runFigures } from '../bench/guest-load.ts';
import { guestTable } from '../bench/guest-report.ts';

const job = (read: [number, number], write: [number, number], error = 0) =>
  JSON.stringify({
    jobs: [
      {
        error,
        read: { iops: read[0], total_ios: read[1] },
        write: { iops: write[0], total_ios: write[1] },
      },
    ],
  });

describe('the runs', () => {
  test('visit every disk with every workload in every round, forwards and backwards', () => {
    const runs = guestRuns(2, 2, 3);
    expect(runs).toHaveLength(3 * 2 * 3);
    const order = (round: number) =>
      runs.filter((run) => run.round === round).map(({ workload, side }) => `${workload}${side}`);
    expect(order(1)).toEqual(['00', '01', '02', '10', '11', '12']);
    expect(order(2)).toEqual(['02', '01', '00', '12', '11', '10']);
  });

  test('are in the script in their order, each on the disk with the serial of its side', () => {
    const script = guestScript(guestRuns(1, 1, 2), ['FIRST', 'SECOND'], 2);
    expect(script).toContain('disk1=/dev/$(basename "$(dirname "$(grep -lx SECOND');
    expect(script.split('\n').filter((line) => line.startsWith('run '))).toEqual([
      'run 0.0.1 $disk1 randread 1',
      'run 0.0.0 $disk0 randread 1',
      'run 1.0.0 $disk0 randread 1',
      'run 1.0.1 $disk1 randread 1',
    ]);
  });
});

describe('the console', () => {
  const run = { round: 1, workload: 2, side: 0 };

  test('has the figures of a run once its line is complete', () => {
    const answer = `END 1.2.0 ${job([0, 0], [5000, 10_000])}`;
    const before = `GUEST-READY\n${beginMark(run)}`;
    expect(runFigures(before, run)).toBeNull();
    expect(runFigures(`${before}${answer.slice(0, 30)}`, run)).toBeNull();
    expect(runFigures(`${before}${answer}\n`, run)).toEqual({ iops: 5000, requests: 10_000 });
  });

  test('does not give the figures of another run', () => {
    const other = `END 11.2.0 ${job([1, 1], [0, 0])}\nEND 1.2.01 ${job([1, 1], [0, 0])}\n`;
    expect(runFigures(other, run)).toBeNull();
  });

  test('of a run that failed or did nothing is an error', () => {
    expect(() => fioFigures(job([1, 1], [0, 0], 5))).toThrow('error 5');
    expect(() => fioFigures(job([0, 0], [0, 0]))).toThrow('no request');
    expect(() => fioFigures('{"jobs":[]}')).toThrow('no job');
  });
});

describe('the table', () => {
  const rounds = (...iops: number[]) =>
    iops.map((value) => ({ iops: value, cpuSecondsPerMillion: 4 }));
  const results = [
    { workload: 'read', side: 'vloop', rounds: rounds(30, 100, 40) },
    { workload: 'read', side: 'peer', rounds: rounds(10, 50, 10) },
    {
      workload: 'read',
      side: 'built in',
      rounds: [{ iops: 20, cpuSecondsPerMillion: null }],
    },
  ];

  test('divides round by round, and shows medians with ranges', () => {
    const lines = guestTable(results.slice(0, 2), 'vloop').split('\n');
    expect(lines[1]).toMatch(/^read +vloop +40 \(30–100\) +4\.0 \(4\.0–4\.0\)$/);
    expect(lines[2]).toMatch(/^read +peer +10 \(10–50\) +3\.00 \(2\.00–4\.00\) +4\.0/);
  });

  test('has no CPU figure where it cannot be told', () => {
    const one = { ...results[0]!, rounds: rounds(40) };
    const line = guestTable([one, results[2]!], 'vloop').split('\n')[2];
    expect(line).toMatch(/^read +built in +20 \(20–20\) +2\.00 \(2\.00–2\.00\) +-$/);
  });

  test('needs the side that the others are compared with', () => {
    expect(() => guestTable(results, 'nobody')).toThrow('nothing of nobody');
  });
});
