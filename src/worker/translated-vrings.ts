/**
 * The vrings of a worker whose addresses go through the IOTLB, when translations come, go or are denied: rings that
 * lay in what was invalidated ask where they are now, chains that waited for pages are looked at again.
 */
import { CHAIN_ADDRESS_UNMAPPED } from '../virtqueue/ring-violation.ts';
import type { StartedVring } from './started-vring.ts';
import type { VringActivation } from './vring-activation.ts';
import type { IovaRange } from './worker-iotlb.ts';

export class TranslatedVrings {
  readonly #vrings: ReadonlyMap<number, StartedVring>;
  readonly #activation: VringActivation;

  constructor(vrings: ReadonlyMap<number, StartedVring>, activation: VringActivation) {
    this.#vrings = vrings;
    this.#activation = activation;
  }

  /** The vrings that lie themselves in what is invalidated. */
  ringsIn(range: IovaRange): StartedVring[] {
    return [...this.#vrings.values()].filter(({ start }) =>
      this.#activation.iotlb.holdsRing(range, start),
    );
  }

  /** Nothing uses it any more: rings that lay there ask where they are now. */
  invalidated(range: IovaRange): null {
    for (const vring of this.ringsIn(range)) {
      this.#activation.deactivate(vring);
      this.#activation.activateOrBreak(vring);
    }
    if (this.#vrings.size === 0) this.#activation.iotlb.forget();
    return null;
  }

  retry(index: number, denied: boolean): null {
    const vring = this.#vrings.get(index);
    if (vring === undefined) return null;
    const { queue } = vring;
    if (denied && queue) this.#activation.break(vring, CHAIN_ADDRESS_UNMAPPED);
    // A guest that shuts down takes the translations of its rings away: no violation, and none of its
    // interest. One that goes on kicks.
    else if (denied) vring.unmapped = true;
    else if (queue) {
      queue.waiting = false;
      queue.takeUp();
    } else this.#activation.activateOrBreak(vring);
    return null;
  }

  /** A kick asks for a ring again whose translations were denied. */
  kickUnmapped(vring: StartedVring | undefined): void {
    if (vring?.unmapped) this.#activation.activateOrBreak(vring);
  }
}
