/**
 * `vloop serve --config=FILE`: the disks of a configuration, all of one process. What stands on the command line
 * besides goes for each of them, and before what the file says.
 */
import type { DiskConfig } from '../control/schema/disk-config.ts';
import { optionsOf } from '../control/schema/disk-config.ts';
import type { OptionRow } from '../control/schema/option-row.ts';
import { optionTable } from '../control/schema/options.ts';
import { readConfig } from './config-file.ts';
import { OptionsError } from './option-values.ts';
import { parseCommandLine, type ServeOptions } from './options.ts';

const OPTION = '--config';

/** Where the command line says that a configuration is, and the rest of it; null: nowhere. Throws OptionsError. */
export function configOfLine(
  args: readonly string[],
): { readonly path: string; readonly rest: readonly string[] } | null {
  const at = args.findIndex((word) => word === OPTION || word.startsWith(`${OPTION}=`));
  const end = args.indexOf('--');
  if (at < 0 || (end >= 0 && end < at)) return null;
  const joined = args[at]!.startsWith(`${OPTION}=`);
  const path = joined ? args[at]!.slice(OPTION.length + 1) : args[at + 1];
  if (path === undefined || path === '') throw new OptionsError(`${OPTION} is missing its file`);
  return { path, rest: args.filter((_, i) => i !== at && (joined || i !== at + 1)) };
}

/** Throws OptionsError. */
export async function serveConfigured(
  path: string,
  rest: readonly string[],
): Promise<ServeOptions> {
  const { disks } = await readConfig(path);
  if (disks.length === 0) throw new OptionsError(`config ${path}: it has no disks`);
  const [verb, ...options] = rest;
  if (verb !== 'serve') throw new OptionsError(`${OPTION} is for vloop serve and vloop daemon`);
  const parsed = disks.map((disk, i) => {
    refuseProcessOptions(disk, `config ${path}: disks[${i}]`);
    const invocation = parseCommandLine(['serve', ...optionsOf(disk), ...options]);
    if (invocation.verb !== 'serve') throw new OptionsError(`${OPTION} is for vloop serve`);
    return invocation.options;
  });
  const all = parsed.flatMap((one) => one.disks);
  const paths = all.map(({ socketPath }) => socketPath);
  const twice = paths.find((socket, i) => paths.indexOf(socket) !== i);
  if (twice !== undefined) {
    throw new OptionsError(`config ${path}: two disks would share the socket ${twice}`);
  }
  return { ...parsed[0]!, disks: all };
}

function refuseProcessOptions(disk: DiskConfig, where: string): void {
  for (const key of Object.keys(disk)) {
    const name = key.replaceAll('_', '-');
    const row: OptionRow = optionTable[name as keyof typeof optionTable];
    if (row.scope === 'disk') continue;
    throw new OptionsError(
      `${where}.${key}: of a whole process, which has several disks here; say --${name}`,
    );
  }
}
