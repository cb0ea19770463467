/**
 * What a worker says of its vrings when somebody asks why a disk stands still. Looks, and changes nothing.
 */
import type { BackingPort } from '../loop/backing-port.ts';
import { TAG_SLOT_BITS, TAG_SLOT_MASK } from '../loop/loop-commands.ts';
import { ringViolations } from '../virtqueue/ring-violation.ts';
import type { VringInspection } from './messages.ts';
import type { StartedVring } from './started-vring.ts';

export function inspectVrings(
  vrings: Iterable<StartedVring>,
  paused: boolean,
  backing: BackingPort,
): VringInspection[] {
  const unbegun = backing.unbegun?.() ?? [];
  return [...vrings].map(({ start, queue, broken, unmapped }) => {
    const vring = queue?.vring;
    const violation = vring?.broken || broken;
    return {
      index: start.index,
      size: start.size,
      enabled: start.enabled,
      paused,
      stopping: queue?.stopping ?? false,
      untranslated: queue === null ? !paused && (start.translated || unmapped) : queue.waiting,
      broken: violation === 0 ? null : ringViolations.nameOf(violation),
      inFlight: vring?.inFlightCount ?? 0,
      available: vring?.availableCount() ?? 0,
      kickFd: start.kickFd,
      callFd: start.callFd,
      ring: vring?.position() ?? null,
      unbegun: unbegun
        .filter((tag) => tag >>> TAG_SLOT_BITS === start.index)
        .map((tag) => tag & TAG_SLOT_MASK),
    };
  });
}
