/**
 * One at a time: whatever changes a disk waits for what changes it already (the kernel's lo_mutex).
 */
export class Turn {
  #last: Promise<unknown> = Promise.resolve();

  /** Does `work` when everything before it has ended, well or not. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work, work);
    this.#last = mine.catch(() => {});
    return mine;
  }
}
