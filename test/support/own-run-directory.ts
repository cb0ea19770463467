/**
 * Before any test: a run directory of this run's own, so that the control sockets of its vloops, also of those that
 * are killed, are nobody else's and go with it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export function setup(): () => void {
  const directory = mkdtempSync(join(tmpdir(), 'vloop-run-'));
  process.env['VLOOP_RUN_DIR'] = directory;
  return () => rmSync(directory, { recursive: true, force: true });
}
