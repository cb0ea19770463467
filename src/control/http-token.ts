/**
 * The token that opens the page: 256 random bits, kept in the run directory (0600) so that a page finds
 * its way back when the process is started again. Who can read the file can open the control sockets
 * beside it, so it gives nothing away; it is gone with the run directory, at the next boot.
 */
import { randomBytes } from 'node:crypto';
import { linkSync, lstatSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const TOKEN_BYTES = 32;
const TOKEN_FORM = /^[\w-]{43}$/;

export function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}

function existingToken(path: string): string {
  const { mode, uid } = lstatSync(path);
  const isFile = (mode & 0o170000) === 0o100000;
  const token = isFile ? readFileSync(path, 'latin1').trim() : '';
  if (!TOKEN_FORM.test(token) || (mode & 0o077) !== 0 || uid !== process.getuid?.()) {
    throw new Error(
      `${path} is no token file of this user (a file of mode 0600, 43 characters): remove it`,
    );
  }
  return token;
}

/** The run directory's token; it is made when there is none. */
export function tokenOf(runDirectory: string): string {
  const path = join(runDirectory, 'http.token');
  const token = newToken();
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${token}\n`, { mode: 0o600 });
  try {
    // Whole or not at all: another process that starts at the same moment reads this one or made its own.
    linkSync(draft, path);
    return token;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return existingToken(path);
  } finally {
    rmSync(draft, { force: true });
  }
}
