#!/usr/bin/env node
// Starts vloop from its TypeScript sources (a clone) or from dist/ (the published package, where Node
// does not strip types). Plain JavaScript, so that an old Node gets a sentence and not a syntax error.
import { existsSync } from 'node:fs';
import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

// What SIGUSR2 asks for is a live upgrade (hand-over.ts), and whoever sends it early must not end the process instead:
// loading what follows takes most of a start. A disk that comes to serve listens itself.
process.on('SIGUSR2', () => {});

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    `vloop: needs Node 22.18 or newer, this is ${process.versions.node} (npx vloop uses the one that npm ci installs)\n`,
  );
  process.exit(1);
}

// Compiled code is kept between runs: it halves the start and, since nothing has to strip types then,
// saves 40 MiB. A directory that cannot be written changes nothing. The variable is for the workers.
try {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  process.env.NODE_COMPILE_CACHE ??= join(cache, 'vloop', 'compiled');
  module.enableCompileCache(process.env.NODE_COMPILE_CACHE);
} catch {
  // A user without a home directory (containers): only slower.
}

const built = new URL('../../dist/src/cli/main.js', import.meta.url);
const installed = import.meta.url.includes('/node_modules/');
await import(installed && existsSync(built) ? built.href : './main.ts');
