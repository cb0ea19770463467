/**
 * The user's commands for a worker's transfer module (the kernel's lo_ioctl, which hands on what it does not know). A
 * module that errs is told of in words; nothing of the worker depends on it.
 */
import type { AttachedTransfer } from '../loop/attached-transfer.ts';
import type { TransferAnswer, TransferIoctl } from './messages.ts';

export function transferAnswer(
  transfer: AttachedTransfer | null,
  { command, argument }: TransferIoctl,
): TransferAnswer {
  if (transfer === null) return { json: null, refusal: 'the disk has no transfer module' };
  const { name, ioctl } = transfer.module;
  if (ioctl === undefined) {
    return { json: null, refusal: `transfer module ${name} has no commands` };
  }
  try {
    const answer = transfer.ioctl(command, argument);
    return { json: JSON.stringify(answer ?? null), refusal: null };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { json: null, refusal: `transfer module ${name}: ${reason}` };
  }
}
