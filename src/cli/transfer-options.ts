/**
 * `--transfer` and what belongs to it on a command line, and the modules of a command line's disks, loaded and tried
 * before anything else is opened. What is wrong with a module or a key is said by the transfer room.
 */

import { errnoName } from '../../protocol/errno.ts';
import { TransferError } from '../loop/transfer-module.ts';
import { duplicateFd } from '../sys/descriptor.ts';
import type { PreparedTransfer, TransferRequest } from '../transfer/open-transfer.ts';
import type { AdoptedFile } from './disk.ts';
import { integer, OptionsError, path, text, type Values } from './option-values.ts';

/** Null: data stay as they are. Throws OptionsError. */
export function transferRequest(values: Values): TransferRequest | null {
  const module = text(values, 'transfer') ?? 'none';
  if (module === '') throw new OptionsError('--transfer= is empty, expected a name or a file');
  const keyFile = path(values, 'key-file');
  const keyFd = values['key-fd'] === undefined ? null : integer(values, 'key-fd', 0, 2 ** 20);
  if (keyFile !== null && keyFd !== null) {
    throw new OptionsError('--key-file and --key-fd exclude each other');
  }
  if (module === 'none') {
    const lonely = (['transfer-options', 'key-file', 'key-fd'] as const).find(
      (name) => values[name] !== undefined,
    );
    if (lonely === undefined) return null;
    throw new OptionsError(`--${lonely} is for --transfer=MODULE, and there is none`);
  }
  return { module, options: pairs(text(values, 'transfer-options') ?? ''), keyFile, keyFd };
}

/** `a=1,b` as names and values; a name alone has an empty one. */
function pairs(list: string): Record<string, string> {
  const named: Record<string, string> = Object.create(null);
  for (const part of list === '' ? [] : list.split(',')) {
    const [, name, value = ''] = /^([A-Za-z]\w*)(?:=(.*))?$/.exec(part) ?? [];
    if (name === undefined) {
      throw new OptionsError(`--transfer-options=${list}: expected name=value,…, got "${part}"`);
    }
    if (name in named) throw new OptionsError(`--transfer-options: ${name} is given twice`);
    named[name] = value;
  }
  return { ...named };
}

interface DiskPart {
  readonly transfer: TransferRequest | null;
  readonly blockSizeBytes: number;
}

/**
 * The modules of disks, null where there is none. Disks of one command line share a request, and its key, which may
 * be there only once. Throws TransferError.
 */
export async function prepareTransfers(
  disks: readonly DiskPart[],
  adopted: readonly AdoptedFile[] | null,
): Promise<Array<PreparedTransfer | null>> {
  if (disks.every(({ transfer }) => transfer === null)) {
    return disks.map((_, i) => matching(null, adopted?.[i]));
  }
  const { prepareTransfer } = await import('../transfer/open-transfer.ts');
  const shared = new Map<TransferRequest, PreparedTransfer | null>();
  const prepared: Array<PreparedTransfer | null> = [];
  for (const [i, { transfer: request, blockSizeBytes }] of disks.entries()) {
    const keyFd = adopted?.[i]?.transfer?.keyFd ?? -1;
    let transfer: PreparedTransfer | null = null;
    if (request !== null) {
      const same = shared.get(request);
      transfer =
        same === undefined
          ? await prepareTransfer(request, blockSizeBytes, keyFd)
          : withOwnKey(same);
      // A key that was handed over came once for each disk.
      if (keyFd < 0) shared.set(request, transfer);
    }
    prepared.push(matching(transfer, adopted?.[i]));
  }
  return prepared;
}

/** Each disk closes its own. */
function withOwnKey(transfer: PreparedTransfer | null): PreparedTransfer | null {
  if (transfer === null) return null;
  const keyFd = duplicateFd(transfer.birth.keyFd);
  if (keyFd < 0) throw new TransferError(`cannot keep the key (${errnoName(keyFd)})`);
  return { ...transfer, birth: { ...transfer.birth, keyFd } };
}

/** A guest that runs must not find its data gone through something else. */
function matching(
  transfer: PreparedTransfer | null,
  adopted: AdoptedFile | undefined,
): PreparedTransfer | null {
  if (adopted === undefined) return transfer;
  const [ours, running] = [transfer?.name ?? 'none', adopted.transfer?.name ?? 'none'];
  if (ours === running) return transfer;
  throw new OptionsError(`--transfer=${ours}, and the disk that runs has ${running}`);
}
