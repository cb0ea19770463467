/**
 * The loop commands of a worker's vrings, kept between starts: drivers stop and start rings of the same
 * size.
 */
import type { HostMemory } from '../loop/host-memory.ts';
import { LoopCommands } from '../loop/loop-commands.ts';

export class VringCommands {
  readonly #hostMemory: HostMemory;
  readonly #onNew: (vring: number, commands: LoopCommands) => void;
  readonly #commands = new Map<number, LoopCommands>();

  /** `onNew` is told of commands that are made. */
  constructor(hostMemory: HostMemory, onNew: (vring: number, commands: LoopCommands) => void) {
    this.#hostMemory = hostMemory;
    this.#onNew = onNew;
  }

  of(vring: number, size: number): LoopCommands {
    const kept = this.#commands.get(vring);
    if (kept?.size === size) return kept;
    kept?.release();
    const commands = new LoopCommands(size, this.#hostMemory);
    this.#commands.set(vring, commands);
    this.#onNew(vring, commands);
    return commands;
  }

  /** The front-end has gone: what its requests made of iovec memory goes too (bug class 6). */
  release(): void {
    for (const commands of this.#commands.values()) commands.release();
    this.#commands.clear();
  }
}
