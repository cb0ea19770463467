/**
 * What a row of the option table says, and the shapes that the values of options have. A command line gives all of
 * them as text; the shapes are for configurations and JSON-RPC params.
 */
import type { JsonSchema } from './json-schema.ts';

export interface OptionRow {
  /** What stands behind `=` on a command line; null: nothing. */
  readonly value: string | null;
  readonly meaning: string;
  readonly default?: string;
  /**
   * `disk`: of one disk, a key of configurations too (with `_` for `-`); `process`: of all disks of one process;
   * `command`: of a command line only.
   */
  readonly scope: 'disk' | 'process' | 'command';
  /** The value where it is not text: in configurations and JSON-RPC params. */
  readonly schema: JsonSchema;
}

export const TEXT = { type: 'string', minLength: 1 } as const;
export const FLAG = { type: 'boolean' } as const;
export const BYTES = {
  anyOf: [
    { type: 'integer', minimum: 0 },
    { type: 'string', minLength: 1 },
  ],
} as const;
export const oneOf = <const T extends readonly (string | number)[]>(...values: T) => ({
  enum: values,
});
export const count = (minimum: number, maximum: number) =>
  ({ type: 'integer', minimum, maximum }) as const;
