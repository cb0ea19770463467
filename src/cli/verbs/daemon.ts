/**
 * `vloop daemon`, as a verb: its options, and the configuration that it starts with.
 */
import { optionTable } from '../../control/schema/options.ts';
import { LOG_FORMATS, LOG_LEVELS } from '../../log.ts';
import { readConfig } from '../config-file.ts';
import { runDaemon } from '../daemon/daemon.ts';
import { httpAddress, oneOf } from '../option-values.ts';
import type { Verb } from './verb.ts';

export const daemonVerb: Verb = {
  summary: 'look after disks: attach them on request, start a crashed one again',
  words: '',
  options: {
    config: { value: 'FILE', meaning: 'attach the disks of this configuration that are not there' },
    http: {
      value: optionTable.http.value,
      meaning: 'serve a page that shows all disks, on this machine only',
    },
    'log-level': { value: 'LEVEL', meaning: `${LOG_LEVELS.join(', ')} (default: info)` },
    'log-format': {
      value: optionTable['log-format'].value,
      meaning: `${optionTable['log-format'].meaning} (default: auto)`,
    },
    help: { value: null, short: 'h', meaning: 'print this, and exit' },
  },
  async run({ values }) {
    const { config } = values;
    const { disks } = typeof config === 'string' ? await readConfig(config) : { disks: [] };
    return await runDaemon({
      disks,
      logLevel: oneOf(values, 'log-level', LOG_LEVELS),
      logFormat: oneOf(values, 'log-format', LOG_FORMATS),
      http: httpAddress(values),
    });
  },
};
