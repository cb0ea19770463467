/**
 * A served disk as a configuration: the options with which it was started, and what has been changed since.
 */
import { resolve } from 'node:path';
import { ControlError } from '../control/controlled-disk.ts';
import {
  DISK_OPTION_NAMES,
  type DiskConfig,
  keyOfOption,
  withPaths,
} from '../control/schema/disk-config.ts';
import type { DiskStatus } from '../control/schema/disk-status.ts';
import type { JsonSchema } from '../control/schema/json-schema.ts';
import type { OptionRow } from '../control/schema/option-row.ts';
import { type OptionName, optionTable } from '../control/schema/options.ts';
import type { DiskOptions } from './options.ts';

/** A value of the command line as the schema has it: a number where it takes one. */
function typed(schema: JsonSchema, value: string | boolean): string | number | boolean {
  if (typeof value === 'boolean') return value;
  const numbers =
    schema.type === 'integer' ||
    schema.enum?.some((allowed) => typeof allowed === 'number') === true ||
    schema.anyOf?.some(({ type }) => type === 'integer') === true;
  return numbers && /^\d+$/.test(value) ? Number(value) : value;
}

export function typedOption(name: OptionName, value: string | boolean): string | number | boolean {
  return typed(optionTable[name].schema, value);
}

function givenOptions(given: DiskOptions['given']): DiskConfig {
  const entries = DISK_OPTION_NAMES.flatMap((name: OptionName) => {
    const value = given[name];
    const row: OptionRow = optionTable[name];
    if (value === undefined || value === row.default || value === false) return [];
    return [[keyOfOption(name), typed(row.schema, value)] as const];
  });
  return Object.fromEntries(entries);
}

/** What the status says otherwise than the options, where there is an option for it. */
function changes(given: DiskConfig, status: DiskStatus): DiskConfig {
  const { direct_io_setting, block_size, offset, size_limit, read_only } = status;
  const known: readonly string[] = DISK_OPTION_NAMES.map(keyOfOption);
  const settings = {
    ...(direct_io_setting === (given['direct_io'] ?? 'auto')
      ? {}
      : { direct_io: direct_io_setting }),
    ...(block_size === (given['block_size'] ?? 512) ? {} : { block_size }),
    ...(offset === (given['offset'] ?? 0) ? {} : { offset }),
    ...(size_limit === (given['size_limit'] ?? 0) ? {} : { size_limit }),
    ...(read_only === (given['read_only'] ?? false) ? {} : { read_only }),
  };
  return Object.fromEntries(Object.entries(settings).filter(([key]) => known.includes(key)));
}

/**
 * A partition is an offset and a size limit, and stands for them as long as the disk has those that it was started
 * with, and the file whose table they are of.
 */
function withPlace(
  { partition, ...config }: DiskConfig,
  { offsetBytes, sizeLimitBytes, blkFile }: DiskOptions,
  { offset, size_limit, back_file }: DiskStatus,
): DiskConfig {
  const isThat = offset === offsetBytes && size_limit === sizeLimitBytes;
  if (partition === undefined || !isThat || back_file !== resolve(blkFile ?? '')) return config;
  const { offset: _, size_limit: __, ...rest } = config;
  return { ...rest, partition };
}

/** Throws ControlError where a configuration cannot make the disk again. */
export function configOf(disk: DiskOptions, status: DiskStatus): DiskConfig {
  const { given, fd } = disk;
  const { name, back_file, socket } = status;
  if (given['key-fd'] !== undefined) {
    throw new ControlError(
      'EOPNOTSUPP',
      `disk ${name}: its key came from --key-fd, which no other process has: serve it with --key-file to have it in a configuration`,
    );
  }
  const options = givenOptions(given);
  const place = {
    ...(back_file === null ? {} : { blk_file: back_file }),
    name,
    ...(fd === null && socket !== null ? { socket_path: socket } : {}),
  };
  const config = withPlace({ ...options, ...changes(options, status), ...place }, disk, status);
  return withPaths(config, (path) => resolve(path));
}
