/**
 * The entry of the program: argv → verb, errors → one line and an exit status. The only process.exit.
 */
import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { BackingError } from '../backing/open-backing.ts';
import { SocketError } from '../vhost-user/server.ts';
import { WorkerError } from '../worker/loop-workers.ts';
import { DiskStartError } from './disk-process.ts';
import { HandOverError } from './hand-over-link.ts';
import { helpText, OptionsError, parseCommandLine } from './options.ts';
import { parseQsdArguments } from './qsd.ts';
import { run } from './run/run.ts';
import { serve } from './serve.ts';
import { TraceError } from './trace-file.ts';

/** vhost-user.json, VHostUserBackendCapabilities. */
const CAPABILITIES = { type: 'block', features: ['read-only', 'blk-file'] };

function version(): string {
  // From src/cli in a clone, from dist/src/cli in the published package.
  for (const up of ['../../package.json', '../../../package.json']) {
    try {
      const text = readFileSync(new URL(up, import.meta.url), 'utf8');
      return (JSON.parse(text) as { version: string }).version;
    } catch {
      // Not there: the other place.
    }
  }
  return 'unknown';
}

async function main(): Promise<number> {
  if (endianness() !== 'LE') throw new Error('vloop needs a little-endian machine');
  const args = process.argv.slice(2);
  if (args[0] === 'qsd' && !args.includes('--help')) {
    return await serve(parseQsdArguments(args.slice(1)));
  }
  if (args[0] === 'run') return await run(args.slice(1));
  const invocation = parseCommandLine(args);
  switch (invocation.verb) {
    case 'help':
      process.stdout.write(helpText());
      return 0;
    case 'version':
      process.stdout.write(`vloop ${version()}\n`);
      return 0;
    case 'print-capabilities':
      process.stdout.write(`${JSON.stringify(CAPABILITIES, null, 2)}\n`);
      return 0;
    case 'serve':
      return await serve(invocation.options);
  }
}

try {
  process.exit(await main());
} catch (error) {
  const expected = [
    OptionsError,
    BackingError,
    SocketError,
    TraceError,
    HandOverError,
    WorkerError,
    DiskStartError,
  ].some((kind) => error instanceof kind);
  const text = error instanceof Error ? (expected ? error.message : error.stack) : String(error);
  process.stderr.write(`vloop: ${text}\n`);
  const wrongLine = error instanceof OptionsError || (error as { status?: unknown }).status === 2;
  process.exit(wrongLine ? 2 : 1);
}
