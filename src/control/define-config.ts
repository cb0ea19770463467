/**
 * A configuration in TypeScript: `export default defineConfig({ disks: [...] })` in vloop.config.ts is checked by the
 * editor against the table of options, which the program checks it against again.
 */
import type { ValueOf } from './schema/json-schema.ts';
import type { OptionName, optionTable } from './schema/options.ts';

type Underscored<S extends string> = S extends `${infer Head}-${infer Tail}`
  ? `${Head}_${Underscored<Tail>}`
  : S;

type OptionsOfDisks = Exclude<OptionName, 'control' | 'successor' | 'exit-with-stdin'>;

/** The options that make a disk, by their names in configurations. */
export type ConfiguredDisk = {
  readonly [N in OptionsOfDisks as (typeof optionTable)[N]['scope'] extends 'command'
    ? never
    : Underscored<N>]?: ValueOf<(typeof optionTable)[N]['schema']>;
};

export interface VloopConfig {
  readonly disks: readonly ConfiguredDisk[];
}

/** Returns what it is given: it is there for the types. */
export function defineConfig(config: VloopConfig): VloopConfig {
  return config;
}
