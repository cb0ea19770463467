/**
 * The one helper of this room: declares binary layouts and code families as data.
 * Offsets are computed from the declaration and the hand-written size is asserted at load, so a slip
 * in either is found before the first byte is read. Imports nothing; no layout is interpreted on the
 * data path (hot modules bind `layout.at.field` to local constants once).
 */

/** le* = virtio (little-endian by definition), u and i = native byte order (kernel and vhost-user). */
export type FieldType =
  | 'u8'
  | 'u16'
  | 'u32'
  | 'u64'
  | 'i32'
  | 'le16'
  | 'le32'
  | 'le64'
  | `bytes[${number}]`;

export type Field = readonly [type: FieldType, meaning: string];
export type Fields = Readonly<Record<string, Field>>;

export interface Layout<F extends Fields = Fields> {
  readonly name: string;
  readonly source: string;
  readonly sizeBytes: number;
  readonly fields: F;
  /** Byte offset of each field. */
  readonly at: { readonly [K in keyof F]: number };
}

interface StructOptions {
  /** No padding rules: a field may start anywhere (vhost-user's `__attribute__((packed))`). */
  readonly packed?: boolean;
}

export function fieldSizeBytes(type: FieldType): number {
  if (type.startsWith('bytes[')) return Number.parseInt(type.slice(6), 10);
  return Number.parseInt(type.replace(/^[a-z]+/, ''), 10) / 8;
}

/**
 * Declares a C struct. Throws at load when a field is not aligned to its own size (unless packed) or
 * when the fields do not add up to `sizeBytes`: padding is declared, never implied.
 */
export function struct<const F extends Fields>(
  name: string,
  source: string,
  sizeBytes: number,
  fields: F,
  { packed = false }: StructOptions = {},
): Layout<F> {
  const at: Record<string, number> = {};
  let offsetBytes = 0;
  for (const [field, [type]] of Object.entries(fields)) {
    const size = fieldSizeBytes(type);
    if (!packed && !type.startsWith('bytes[') && offsetBytes % size !== 0) {
      throw new Error(`${name}.${field}: offset ${offsetBytes} is not a multiple of ${size}`);
    }
    at[field] = offsetBytes;
    offsetBytes += size;
  }
  if (offsetBytes !== sizeBytes) {
    throw new Error(`${name}: fields take ${offsetBytes} bytes, declared ${sizeBytes}`);
  }
  return { name, source, sizeBytes, fields, at: at as Layout<F>['at'] };
}

type CodeValues = Readonly<Record<string, number>>;

export interface Codes<V extends CodeValues = CodeValues> {
  readonly family: string;
  readonly source: string;
  readonly values: V;
  /** The spec's spelling, or `unknown (0x…)`. */
  readonly nameOf: (code: number) => string;
}

/** Declares a family of codes whose names keep their spec spelling. */
export function codes<const V extends CodeValues>(
  family: string,
  source: string,
  values: V,
): Codes<V> {
  const names = new Map(Object.entries(values).map(([name, value]) => [value, name]));
  const nameOf = (code: number) => names.get(code) ?? `unknown (0x${code.toString(16)})`;
  return { family, source, values, nameOf };
}

/** The bits of a 64-bit feature word that a code family of bit numbers names, plus the unknown rest. */
export function namesOfBits(family: Codes, word: bigint): string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if ((word >> BigInt(bit)) & 1n) {
      const name = family.nameOf(bit);
      names.push(name.startsWith('unknown') ? `bit ${bit}` : name);
    }
  }
  return names;
}

/** The word with the given bit numbers set. */
export function bitsToWord(...bits: readonly number[]): bigint {
  return bits.reduce((word, bit) => word | (1n << BigInt(bit)), 0n);
}
