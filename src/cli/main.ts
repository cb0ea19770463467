/**
 * The entry of the program: argv → verb, errors → one line and an exit status. The only process.exit.
 */
import { endianness } from 'node:os';
import { BackingError } from '../backing/open-backing.ts';
import { ControlError } from '../control/controlled-disk.ts';
import { RpcError } from '../control/json-rpc.ts';
import { TransferError } from '../loop/transfer-module.ts';
import { SocketError } from '../vhost-user/server.ts';
import { WorkerError } from '../worker/loop-workers.ts';
import { DiskStartError } from './disk-process.ts';
import { HandOverError } from './hand-over-link.ts';
import { OptionsError } from './option-values.ts';
import { parseCommandLine } from './options.ts';
import { parseQsdArguments } from './qsd.ts';
import { serve } from './serve.ts';
import { configOfLine, serveConfigured } from './serve-config.ts';
import { TraceError } from './trace-file.ts';
import { VERB_NAMES } from './verb-names.ts';
import { version } from './version.ts';

/** vhost-user.json, VHostUserBackendCapabilities. */
const CAPABILITIES = { type: 'block', features: ['read-only', 'blk-file'] };

async function help(command: string | undefined): Promise<number> {
  const { helpOf } = await import('./text/help.ts');
  process.stdout.write(helpOf(command));
  return 0;
}

async function main(): Promise<number> {
  if (endianness() !== 'LE') throw new Error('vloop needs a little-endian machine');
  const args = process.argv.slice(2);
  if (args.length === 0) {
    throw new OptionsError('which command? (vloop serve disk.img, or see vloop --help)');
  }
  if (args[0] === 'help') return await help(args[1]);
  if (args[0] === 'qsd') {
    if (args.includes('--help')) return await help('qsd');
    return await serve(parseQsdArguments(args.slice(1)));
  }
  if (args[0] === 'run') {
    const { run } = await import('./run/run.ts');
    return await run(args.slice(1));
  }
  const verb = VERB_NAMES.find((name) => name === args[0]);
  if (verb !== undefined) {
    const { runVerb } = await import('./verbs/verbs.ts');
    return await runVerb(verb, args.slice(1));
  }
  const configured = configOfLine(args);
  if (configured !== null) {
    return await serve(await serveConfigured(configured.path, configured.rest));
  }
  const invocation = parseCommandLine(args);
  switch (invocation.verb) {
    case 'help':
      return await help(args[0] === 'serve' ? 'serve' : undefined);
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
    TransferError,
    DiskStartError,
    ControlError,
    RpcError,
  ].some((kind) => error instanceof kind);
  const text = error instanceof Error ? (expected ? error.message : error.stack) : String(error);
  process.stderr.write(`vloop: ${text}\n`);
  process.exit(error instanceof OptionsError ? 2 : 1);
}
