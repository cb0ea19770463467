/**
 * A stop at a point of a loop that somebody else asks for: who asks learns when the loop has come there, and
 * lets it go on later. Asked again meanwhile, it is the same stop.
 */

export class Hold {
  #begun: Promise<void> | null = null;
  #arrive: () => void = () => {};
  #released: Promise<void> = Promise.resolve();
  #release: () => void = () => {};

  get wanted(): boolean {
    return this.#begun !== null;
  }

  /** Settles when the loop has come to its stop. */
  begin(): Promise<void> {
    if (this.#begun === null) {
      const arrival = Promise.withResolvers<void>();
      const release = Promise.withResolvers<void>();
      this.#arrive = arrival.resolve;
      this.#release = release.resolve;
      this.#released = release.promise;
      this.#begun = arrival.promise;
    }
    return this.#begun;
  }

  /** For the loop: says that it is here, and settles when it may go on. */
  async pass(): Promise<void> {
    this.#arrive();
    await this.#released;
  }

  end(): void {
    this.#begun = null;
    this.#release();
  }
}
