/**
 * `vloop rpc`: any method of the control plane, with its params as JSON; the result is JSON on stdout.
 */
import { ControlError } from '../../control/controlled-disk.ts';
import { isMethodName, methods } from '../../control/schema/methods.ts';
import { OptionsError } from '../option-values.ts';
import { pickDisk, withDisks } from './processes.ts';
import type { Verb } from './verb.ts';

function paramsOf(text: string | undefined): Readonly<Record<string, unknown>> {
  if (text === undefined) return {};
  let params: unknown;
  try {
    params = JSON.parse(text);
  } catch {
    throw new OptionsError(`rpc: ${text}: expected params as JSON, as {"disk": "a.img"}`);
  }
  if (typeof params === 'object' && params !== null && !Array.isArray(params)) {
    return params as Readonly<Record<string, unknown>>;
  }
  throw new OptionsError(`rpc: ${text}: expected a JSON object`);
}

export const rpcVerb: Verb = {
  summary: 'call a method of the control plane (vloop rpc rpc_get_methods names them)',
  words: 'METHOD [JSON]',
  options: { help: { value: null, short: 'h', meaning: 'print this, and exit' } },
  async run({ words }) {
    const [method, json] = words;
    const params = paramsOf(json);
    const result = await withDisks(async (disks) => {
      const known = method !== undefined && isMethodName(method);
      const word = params['disk'];
      if (known && methods[method].of === 'disk' && typeof word === 'string') {
        const { status, client } = pickDisk(disks, word);
        return await client.callAny(method, { ...params, disk: status.name });
      }
      // Of a process: any of them can answer, but only one that is there.
      const client = disks[0]?.client;
      if (client === undefined)
        throw new ControlError('ENODEV', 'no disk is served: nobody to ask');
      return await client.callAny(method!, params);
    });
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    return 0;
  },
};
