/**
 * Something that can be measured: a back-end with a client on it, or the host's own way to the file. Rounds know no
 * more of it than this, so they treat all alike.
 */
import type { BackEndProcess } from '../support/back-end-process.ts';
import type { Client, Measurement } from './client.ts';
import type { Workload } from './workload.ts';

export interface Contender {
  readonly label: string;
  /** Undefined: the measurement itself brings its CPU seconds. */
  readonly backEnd: BackEndProcess | undefined;
  measure(client: Client, workload: Workload, seconds: number): Promise<Measurement>;
}

export class BackEndContender implements Contender {
  readonly backEnd: BackEndProcess;

  constructor(backEnd: BackEndProcess) {
    this.backEnd = backEnd;
  }

  get label(): string {
    return this.backEnd.label;
  }

  measure(client: Client, workload: Workload, seconds: number): Promise<Measurement> {
    return client.measure(this.backEnd, workload, seconds);
  }
}
