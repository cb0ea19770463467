/** The benchmark's command line, parsed and checked. */
import { parseArgs } from 'node:util';
import { type BackEndName, backEndNames } from '../support/back-end-process.ts';
import type { CachePieces } from './peers.ts';

export type BenchOptions = {
  rounds: number;
  seconds: number;
  imageMib: number;
  directIo: string;
  /** Null: large pieces for reads, small ones for writes. */
  pieces: CachePieces | null;
  ours: BackEndName;
  theirs: BackEndName;
  only: string | undefined;
  clients: string[];
  json: string | undefined;
  vloopArguments: string[];
};

export const usage = `make bench, or: node test/bench/main.ts [options]
  --rounds=N         rounds for each workload (5)
  --seconds=N        length of one measurement (1.5)
  --image-mib=N      size of the image, kept in the page cache (256)
  --pieces=KIND      of the page cache: large or small (large for reads, small for writes)
  --only=TEXT        only workloads whose name holds TEXT
  --clients=A,B      of qemu-img, blkio, blkio-spin (qemu-img,blkio)
  --direct-io=MODE   vloop's --direct-io (off: the peer uses the page cache too)
  --vloop=OPTION     a further option for vloop; may be repeated
  --ours=NAME        vloop, or qemu-storage-daemon on both sides to see the method's noise
  --json=FILE        every figure, for a machine to read
`;

export function parseOptions(argv: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '1.5' },
      'image-mib': { type: 'string', default: '256' },
      'direct-io': { type: 'string', default: 'off' },
      ours: { type: 'string', default: 'vloop' },
      pieces: { type: 'string' },
      only: { type: 'string' },
      clients: { type: 'string', default: 'qemu-img,blkio' },
      json: { type: 'string' },
      vloop: { type: 'string', multiple: true, default: [] },
    },
  });
  return {
    rounds: positive('rounds', values.rounds),
    seconds: positive('seconds', values.seconds),
    imageMib: positive('image-mib', values['image-mib']),
    directIo: values['direct-io'],
    pieces: piecesOf(values.pieces),
    ours: backEnd(values.ours),
    theirs: 'qemu-storage-daemon',
    only: values.only,
    clients: values.clients.split(','),
    json: values.json,
    vloopArguments: values.vloop,
  };
}

function piecesOf(text: string | undefined): CachePieces | null {
  if (text === undefined || text === 'large' || text === 'small') return text ?? null;
  throw new Error(`--pieces=${text}: expected large or small`);
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${option}=${text}: not a positive number`);
  return value;
}

function backEnd(text: string): BackEndName {
  const name = backEndNames.find((known) => known === text);
  if (name === undefined) throw new Error(`--ours=${text}: one of ${backEndNames.join(', ')}`);
  return name;
}
