/**
 * All verbs but those that serve disks, by name. Loaded when the command line names one: a process that serves
 * does not need them.
 */
import { commandHelp } from '../text/help-layout.ts';
import { attachVerb } from './attach.ts';
import { completionVerb } from './completion.ts';
import { daemonVerb } from './daemon.ts';
import { diskVerb } from './disk-verbs.ts';
import { doctorVerb } from './doctor.ts';
import { installDiscoveryVerb } from './install-discovery.ts';
import { listVerb } from './list.ts';
import { rpcVerb } from './rpc.ts';
import { loadConfigVerb, saveConfigVerb } from './save-config.ts';
import { settingsText } from './settings-text.ts';
import { statsVerb } from './stats.ts';
import { topVerb } from './top.ts';
import { traceVerb } from './trace.ts';
import { parseVerb, type Verb } from './verb.ts';
import { whyVerb } from './why.ts';

export const verbs: Readonly<Record<string, Verb>> = {
  list: listVerb,
  status: diskVerb('disk_get_status'),
  resize: diskVerb('disk_set_capacity', {
    says: (result, disk) =>
      result!['size'] === result!['old_size']
        ? `${disk}: ${result!['size']} bytes, as before`
        : `${disk}: ${result!['old_size']} → ${result!['size']} bytes`,
  }),
  set: diskVerb('disk_set_status', { switches: true, says: settingsText }),
  'change-file': diskVerb('disk_change_file', {
    words: ['file'],
    paths: ['file'],
    says: (result, disk) => `${disk}: ${result!['back_file']}`,
  }),
  quiesce: diskVerb('disk_quiesce', { says: (_, disk) => `${disk}: stands still` }),
  resume: diskVerb('disk_resume', { says: (_, disk) => `${disk}: goes on` }),
  detach: diskVerb('disk_detach', {
    says(result, disk) {
      if (result!['state'] === 'autoclear') {
        return `${disk}: ends when its front-end has gone (--force: now)`;
      }
      const left = Number(result!['in_flight']);
      const waits = `ends when its ${left} requests in flight have (vloop why says what they wait for)`;
      return `${disk}: ${left > 0 ? waits : 'detached'}`;
    },
  }),
  doctor: doctorVerb,
  'install-discovery': installDiscoveryVerb,
  rpc: rpcVerb,
  stats: statsVerb,
  why: whyVerb,
  top: topVerb,
  trace: traceVerb,
  attach: attachVerb,
  completion: completionVerb,
  daemon: daemonVerb,
  'save-config': saveConfigVerb,
  'load-config': loadConfigVerb,
};

/** Runs a verb with the arguments behind its name. Resolves with the exit status. */
export async function runVerb(name: string, args: readonly string[]): Promise<number> {
  const verb = verbs[name]!;
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(commandHelp(name, verb));
    return 0;
  }
  return await verb.run(parseVerb(name, verb, args));
}
