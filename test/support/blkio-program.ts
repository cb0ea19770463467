/**
 * Our own clients on libblkio are small C programs, compiled inside the trixie root when they are needed: seconds
 * are not worth a cache that could be stale.
 */
import { copyFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Workspace } from './trixie-root.ts';

const COMPILE_TIMEOUT_MS = 60_000;

/**
 * Needs a root made `withCompiler`. Headers beside the source whose names begin with its name belong to it. Gives the
 * program's path inside the root.
 */
export async function compileBlkioProgram(workspace: Workspace, source: string): Promise<string> {
  const file = basename(source);
  const name = file.replace(/\.c$/, '');
  const program = workspace.inside(name);
  const folder = dirname(source);
  for (const part of readdirSync(folder))
    if (part === file || (part.startsWith(name) && part.endsWith('.h')))
      copyFileSync(join(folder, part), workspace.onHost(part));
  const warnings = ['-Wall', '-Wextra', '-Werror'];
  const command = ['gcc', '-O2', ...warnings, '-o', program, workspace.inside(file), '-lblkio'];
  await workspace.root.mustRun(command, COMPILE_TIMEOUT_MS);
  return program;
}
