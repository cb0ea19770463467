/**
 * Our own load generator: a front-end in a process of its own that drives disks through their sockets at any depth,
 * from memory of any shape. `node test/bench/front-end-load.ts SOCKET... [options]` prints one JSON line; with every
 * result comes what the generator alone reaches against a null device, so that nobody measures the client by mistake.
 */

import { runLoad } from './load.ts';
import { parseLoadOptions, usage } from './load-options.ts';

async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes('--help')) {
    process.stdout.write(usage);
    return;
  }
  const options = parseLoadOptions(argv);
  const report = await runLoad(options);
  process.stdout.write(`${JSON.stringify({ ...report, options })}\n`);
  if (report.wrongBlocks > 0) process.exitCode = 1;
}

await main(process.argv.slice(2)).catch((error: Error) => {
  process.stderr.write(`front-end-load: ${error.message}\n`);
  process.exitCode = 1;
});
