/**
 * Our own clients on libblkio are small C programs, compiled inside the trixie root when they are needed: seconds
 * are not worth a cache that could be stale.
 */
import { copyFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Workspace } from './trixie-root.ts';

const COMPILE_TIMEOUT_MS = 60_000;

/** Needs a root made `withCompiler`. Gives the program's path inside the root. */
export async function compileBlkioProgram(workspace: Workspace, source: string): Promise<string> {
  const file = basename(source);
  const program = workspace.inside(file.replace(/\.c$/, ''));
  copyFileSync(source, workspace.onHost(file));
  const warnings = ['-Wall', '-Wextra', '-Werror'];
  const command = ['gcc', '-O2', ...warnings, '-o', program, workspace.inside(file), '-lblkio'];
  await workspace.root.mustRun(command, COMPILE_TIMEOUT_MS);
  return program;
}
