/**
 * Features as rows: each bit that a specification names is offered or refused, with the reason in words.
 * What a disk offers and README's table derive from the same rows, so that neither can say something else.
 */
import { bitsToWord, type Codes } from '../../protocol/layout.ts';

/** Which disks offer a bit. */
type Offer = 'every disk' | 'writable disks' | 'read-only disks' | null;

export interface FeatureRow {
  /** Null: never. */
  readonly offer: Offer;
  /** What it gives, or why it is refused. */
  readonly words: string;
}

/** A row for every bit of the family: one that is forgotten does not compile. */
export type FeatureTable<F extends Codes> = Readonly<Record<keyof F['values'], FeatureRow>>;

export function served(words: string, offer: Exclude<Offer, null> = 'every disk'): FeatureRow {
  return { offer, words };
}

export function refused(words: string): FeatureRow {
  return { offer: null, words };
}

type Rows = Readonly<Record<string, FeatureRow>>;

/** The word with all bits that a disk offers. */
export function offeredWord(family: Codes, table: Rows, readOnly: boolean): bigint {
  const mine: readonly Offer[] = ['every disk', readOnly ? 'read-only disks' : 'writable disks'];
  const offered = Object.entries(table).filter(([, { offer }]) => mine.includes(offer));
  return bitsToWord(...offered.map(([name]) => family.values[name]!));
}

/** A part of README: a row a bit, in the order of the bits. `prefix` is left out of the names. */
export function featureMarkdown(family: Codes, table: Rows, prefix: RegExp): string {
  const rows = Object.entries(family.values).map(([name, bit]) => {
    const { offer, words } = table[name]!;
    const does =
      offer === null ? 'refused' : `served${offer === 'every disk' ? '' : ` (${offer})`}`;
    return `| ${bit} | \`${name.replace(prefix, '')}\` | ${does} | ${words} |`;
  });
  return ['| bit | feature | vloop | what, or why |', '|--:|---|---|---|', ...rows].join('\n');
}
