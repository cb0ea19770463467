/**
 * Values of options as they stand on a command line: each is checked, and refused in words that name the option,
 * the value and what was expected.
 */
import { cpus as machineCpus } from 'node:os';
import { LINUX_PARTITIONS_MAX } from '../../protocol/partition-tables.ts';
import { VIRTIO_BLK_ID_BYTES } from '../../protocol/virtio-blk.ts';
import { type HttpAddress, parseHttpAddress } from '../control/http-address.ts';
import type { OptionRow } from '../control/schema/option-row.ts';
import { NAME_PATTERN, type OptionName, optionTable } from '../control/schema/options.ts';
import { CPU_COUNT_MAX } from '../sys/scheduling.ts';

/** A command line that cannot be carried out: exit status 2. */
export class OptionsError extends Error {
  readonly code = 'VLOOP_OPTIONS';
}

export type Values = Partial<Record<OptionName, string | boolean>>;

export function text(values: Values, name: OptionName): string | undefined {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
}

/** A path that may be left out, and not be empty. */
export function path(values: Values, name: OptionName): string | null {
  const value = text(values, name);
  if (value === '') throw new OptionsError(`--${name}= is empty, expected a path`);
  return value ?? null;
}

export function withDefault(values: Values, name: OptionName): string {
  const row: OptionRow = optionTable[name];
  return text(values, name) ?? row.default ?? '';
}

export function integer(values: Values, name: OptionName, min: number, max: number): number {
  const value = withDefault(values, name);
  const parsed = Number(value);
  if (/^\d+$/.test(value) && parsed >= min && parsed <= max) return parsed;
  throw new OptionsError(`--${name}=${value}: expected a number from ${min} to ${max}`);
}

export function oneOf<const T extends string>(
  values: Values,
  name: OptionName,
  allowed: readonly T[],
): T {
  const value = withDefault(values, name);
  const found = allowed.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw new OptionsError(`--${name}=${value}: expected one of ${allowed.join(', ')}`);
}

/** Sizes as losetup takes them: K, KiB, M, … are powers of 1024; KB, MB, … of 1000. NaN: it is none. */
export function bytesOf(text: string): number {
  const match = /^(\d+)(?:([KMGT])(iB|B)?)?$/.exec(text);
  const [, digits, unit, suffix] = match ?? [];
  const power = unit === undefined ? 0 : 'KMGT'.indexOf(unit) + 1;
  const bytes = Number(digits) * (suffix === 'B' ? 1000 : 1024) ** power;
  return Number.isSafeInteger(bytes) ? bytes : Number.NaN;
}

/** Any number of bytes, 0 as well. */
export function bytes(values: Values, name: OptionName): number {
  const value = withDefault(values, name);
  const parsed = bytesOf(value);
  if (!Number.isNaN(parsed)) return parsed;
  throw new OptionsError(`--${name}=${value}: expected a number of bytes, as 32256, 64M or 1GiB`);
}

export function size(values: Values, name: OptionName): number {
  const value = withDefault(values, name);
  const bytes = bytesOf(value);
  if (bytes >= 4096) return bytes;
  throw new OptionsError(`--${name}=${value}: expected a size from 4096 bytes on, as 64M or 1GiB`);
}

/** Null: not asked for. */
export function partitionNumber(values: Values): number | null {
  if (values.partition === undefined) return null;
  for (const name of ['offset', 'size-limit', 'memory'] as const) {
    if (values[name] === undefined) continue;
    throw new OptionsError(`--partition and --${name} exclude each other`);
  }
  return integer(values, 'partition', 1, LINUX_PARTITIONS_MAX);
}

/** `0,2-3` → [0, 2, 3]. */
export function cpuList(values: Values): number[] {
  const value = text(values, 'cpus');
  if (value === undefined) return [];
  const cpuCount = Math.min(machineCpus().length, CPU_COUNT_MAX);
  const cpus = value.split(',').flatMap((part) => {
    const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(part) ?? [];
    const [from, to] = [Number(first), Number(last ?? first)];
    return from <= to && to < cpuCount
      ? Array.from({ length: to - from + 1 }, (_, i) => from + i)
      : [Number.NaN];
  });
  if (!cpus.some(Number.isNaN)) return cpus;
  throw new OptionsError(`--cpus=${value}: expected CPU numbers below ${cpuCount}, as 0,2-3`);
}

export function serial(values: Values): string | null {
  const value = text(values, 'serial');
  if (value === undefined) return null;
  if (/^[\x21-\x7e]+$/.test(value) && value.length <= VIRTIO_BLK_ID_BYTES) return value;
  throw new OptionsError(
    `--serial=${value}: expected 1 to ${VIRTIO_BLK_ID_BYTES} printable ASCII characters without spaces`,
  );
}

const NAME = new RegExp(NAME_PATTERN);

export function diskName(values: Values): string | null {
  const value = text(values, 'name');
  if (value === undefined || NAME.test(value)) return value ?? null;
  throw new OptionsError(
    `--name=${value}: expected up to 64 letters, digits and ._+@-, a letter or digit first`,
  );
}

/** Null: no page is asked for. */
export function httpAddress(values: Values): HttpAddress | null {
  const value = text(values, 'http');
  if (value === undefined) return null;
  const address = parseHttpAddress(value);
  if (typeof address !== 'string') return address;
  throw new OptionsError(`--http=${value}: ${address}`);
}
