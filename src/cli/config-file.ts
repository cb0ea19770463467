/**
 * Configuration files: vloop.config.json, or a TypeScript module whose default export is the same. One is read only
 * when a command names it, or its directory: whoever can write into the current directory must not decide which files
 * a program opens. Relative paths in it are relative to it.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type DiskConfig, withPaths } from '../control/schema/disk-config.ts';
import { OptionsError } from './option-values.ts';

export interface Config {
  readonly disks: readonly DiskConfig[];
}

/** Names that are looked for in a directory. */
const NAMES = ['vloop.config.json', 'vloop.config.ts', 'vloop.config.mjs'];

function fileOf(path: string): string {
  const whole = resolve(path);
  if (!existsSync(whole)) throw new OptionsError(`config ${path}: no such file`);
  if (!statSync(whole).isDirectory()) return whole;
  const found = NAMES.map((name) => join(whole, name)).find((candidate) => existsSync(candidate));
  if (found !== undefined) return found;
  throw new OptionsError(`config ${path}: the directory has none of ${NAMES.join(', ')}`);
}

function parseJson(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new OptionsError(`config ${path}: cannot be read (${code})`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new OptionsError(`config ${path}: not JSON: ${reason}`);
  }
}

async function importModule(path: string): Promise<unknown> {
  try {
    return ((await import(pathToFileURL(path).href)) as { default?: unknown }).default;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new OptionsError(`config ${path}: cannot be loaded: ${reason}`);
  }
}

/** The configuration in a file, or in a directory. Throws OptionsError that names key, value and what was expected. */
export async function readConfig(path: string): Promise<Config> {
  const file = fileOf(path);
  const value = /\.[cm]?[jt]s$/.test(file) ? await importModule(file) : parseJson(file);
  const { explainConfig } = await import('../control/explain-config.ts');
  const wrong = explainConfig(value);
  if (wrong.length > 0) {
    throw new OptionsError(`config ${path}: ${wrong.join('; ')}`);
  }
  const { disks } = value as Config;
  return {
    disks: disks.map((disk) => withPaths(disk, (word) => resolve(dirname(file), word))),
  };
}
