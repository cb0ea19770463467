/**
 * A disk as a configuration has it: the options of `serve` that make it, by their names with `_` for `-`. What
 * disk_attach takes, disk_get_config and save_config answer, and vloop.config.json holds.
 */
import { type JsonSchema, objectOf } from './json-schema.ts';
import type { OptionRow } from './option-row.ts';
import { type OptionName, optionTable } from './options.ts';

/** Of one process each, and a disk that is attached has a process of its own. */
const NOT_OF_A_DISK: readonly string[] = ['control', 'successor', 'exit-with-stdin'];

/** The options that make a disk, in the order of the table. */
export const DISK_OPTION_NAMES: readonly OptionName[] = (
  Object.entries(optionTable) as Array<[OptionName, OptionRow]>
)
  .filter(([name, { scope }]) => scope !== 'command' && !NOT_OF_A_DISK.includes(name))
  .map(([name]) => name);

export function keyOfOption(name: string): string {
  return name.replaceAll('-', '_');
}

function propertyOf(name: OptionName): JsonSchema {
  const row: OptionRow = optionTable[name];
  const fallback = row.default === undefined ? '' : ` (default: ${row.default})`;
  return { ...row.schema, description: `${row.meaning}${fallback}` };
}

const PROPERTIES: Readonly<Record<string, JsonSchema>> = Object.fromEntries(
  DISK_OPTION_NAMES.map((name) => [keyOfOption(name), propertyOf(name)]),
);

/** What the type checker sees of an object whose keys come from the table of options. */
export interface OptionsObject {
  readonly type: 'object';
  readonly additionalProperties: {
    readonly anyOf: readonly [
      { readonly type: 'string' },
      { readonly type: 'number' },
      { readonly type: 'boolean' },
    ];
  };
}

export type DiskConfig = Readonly<Record<string, string | number | boolean>>;

export const diskConfig = {
  type: 'object',
  additionalProperties: false,
  properties: PROPERTIES,
} as unknown as OptionsObject;

export const config = objectOf(['disks'], {
  $schema: { type: 'string', description: 'where this schema is, for editors' },
  disks: {
    type: 'array',
    items: diskConfig,
    description: 'the disks, each in a process of its own',
  },
});

/** Whether an option's value is a path: a relative one means something else in another process. */
function isPathOf(key: string, value: string): boolean {
  const name = DISK_OPTION_NAMES.find((option) => keyOfOption(option) === key);
  const row: OptionRow | undefined = name === undefined ? undefined : optionTable[name];
  if (row?.value === 'PATH' || row?.value === 'FILE') return true;
  // The name of something that is built in has no directory.
  return row?.value === 'NAME|FILE' && value.includes('/');
}

/** `disk` with every path through `change`. */
export function withPaths(disk: DiskConfig, change: (path: string) => string): DiskConfig {
  const entries = Object.entries(disk).map(([key, value]) => {
    return [key, isPathOf(key, String(value)) ? change(String(value)) : value] as const;
  });
  return Object.fromEntries(entries);
}

/** The command line that makes the disk. */
export function optionsOf(disk: DiskConfig): string[] {
  return Object.entries(disk).flatMap(([key, value]) => {
    const option = `--${key.replaceAll('_', '-')}`;
    if (typeof value === 'boolean') return value ? [option] : [];
    return [`${option}=${value}`];
  });
}
