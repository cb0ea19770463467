/**
 * What --compare says: the tests whose outcome on vloop is another than on QEMU's own virtio-blk, with both outputs. An
 * empty difference is the goal; a test that fails on both says nothing about vloop. Pure.
 */
import { type CaseResult, caseLabel } from './cases.ts';

export interface Difference {
  readonly vloop: CaseResult;
  readonly virtioBlk: CaseResult;
}

export interface Comparison {
  /** Tests with a result on both sides. */
  readonly compared: number;
  readonly differences: readonly Difference[];
}

const keyOf = ({ suite, fs, name }: CaseResult) => `${suite} ${fs} ${name}`;

export function compareSides(results: readonly CaseResult[]): Comparison {
  const bySide = (side: string) =>
    new Map(
      results.filter((result) => result.side === side).map((result) => [keyOf(result), result]),
    );
  const others = bySide('virtio-blk');
  const pairs = [...bySide('vloop')].flatMap(([key, vloop]) => {
    const virtioBlk = others.get(key);
    return virtioBlk === undefined ? [] : [{ vloop, virtioBlk }];
  });
  return {
    compared: pairs.length,
    differences: pairs.filter(({ vloop, virtioBlk }) => vloop.verdict !== virtioBlk.verdict),
  };
}

function sideText(result: CaseResult): string {
  const output = result.output === '' ? '' : `\n${result.output.replace(/^/gm, '    | ')}`;
  return `  ${result.side}: ${result.verdict}${result.reason && `: ${result.reason}`}${output}`;
}

export function differenceText({ compared, differences }: Comparison): string {
  if (differences.length === 0) {
    return `difference against virtio-blk: none in ${compared} tests`;
  }
  const rows = differences.map(({ vloop, virtioBlk }) =>
    [`${vloop.suite} ${caseLabel(vloop)}`, sideText(vloop), sideText(virtioBlk)].join('\n'),
  );
  return [
    `difference against virtio-blk: ${differences.length} of ${compared} tests`,
    ...rows,
  ].join('\n');
}
