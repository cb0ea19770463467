/**
 * All verbs but those that serve disks, by name. Loaded when the command line names one: a process that serves
 * does not need them.
 */
import { listVerb } from './list.ts';
import { rpcVerb } from './rpc.ts';
import { parseVerb, type Verb, verbHelp } from './verb.ts';

export const verbs: Readonly<Record<string, Verb>> = {
  list: listVerb,
  rpc: rpcVerb,
};

/** Runs a verb with the arguments behind its name. Resolves with the exit status. */
export async function runVerb(name: string, args: readonly string[]): Promise<number> {
  const verb = verbs[name]!;
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(verbHelp(name, verb));
    return 0;
  }
  return await verb.run(parseVerb(name, verb, args));
}
