/**
 * The checker as a command: random requests on any vhost-user-blk back-end, every answer against the model.
 * `node test/support/check-back-end.ts SOCKET [options]`; the first part of the disk is overwritten.
 * Exit status 0: all was right; 1: something was not, then the fewest requests that still show it; 2: no test.
 */
import { parseArgs } from 'node:util';
import { virtioBlkConfig } from '../../protocol/virtio-blk.ts';
import { checkedRegion, FrontEndDevice } from './checker-devices.ts';
import { type CheckedOperation, drawOperations, operationText } from './checker-operations.ts';
import { CheckedPlay, type CheckFailure, fewestThatFail } from './checker-play.ts';
import { MockFrontEnd } from './mock-frontend.ts';

const usage = `node test/support/check-back-end.ts SOCKET [options]
Random requests on a vhost-user-blk back-end, every answer checked. THE DISK IS OVERWRITTEN.
  --seed=N      repeats what was drawn (from the clock, and printed)
  --count=N     requests (5000)
  --queues=N    (2)
  --sectors=N   of the disk, from its beginning (16384, or as many as it has)
  --packed      packed rings
  --in-order    VIRTIO_F_IN_ORDER
  --plain       three descriptors a request, for back-ends that do not take any framing
  --plays=N     at most, to find the fewest requests that still fail (100)
`;

/** Numbers of the requests that make a disk of zeroes first: no plan reaches them. */
const ZEROING_FROM = 2 ** 30;
const ZEROING_SECTORS = 2048;
const RANGES_MAX = 4;

interface Settings {
  readonly socket: string;
  readonly seed: number;
  readonly queueCount: number;
  readonly packed: boolean;
  readonly inOrder: boolean;
  readonly plain: boolean;
  readonly sectors: number;
}

function numberOf(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0) return value;
  throw new Error(`--${name}=${text}: expected a whole number`);
}

function zeroing(sectors: number): CheckedOperation[] {
  return Array.from({ length: Math.ceil(sectors / ZEROING_SECTORS) }, (_, i) => {
    const sector = i * ZEROING_SECTORS;
    const ranges = [{ sector, sectors: Math.min(ZEROING_SECTORS, sectors - sector) }];
    const number = ZEROING_FROM + i;
    return { number, kind: 'zeroes', queue: 0, ranges, unmap: false, depth: 4, layout: number };
  });
}

/** One play on a session of its own. */
async function playOn(settings: Settings, operations: readonly CheckedOperation[]) {
  const { socket, seed, queueCount, packed, inOrder, sectors } = settings;
  const moreRegions = [checkedRegion(queueCount)];
  const shape = { queueCount, packed, inOrder, placeCount: 0, moreRegions };
  const frontEnd = await MockFrontEnd.start(socket, shape);
  try {
    const play = new CheckedPlay(new FrontEndDevice(frontEnd, sectors), seed, settings.plain);
    await play.some(zeroing(sectors));
    await play.drain();
    return { failure: play.failure ?? (await play.all(operations)), answered: play.answered };
  } finally {
    frontEnd.close();
  }
}

/** The sectors of the disk, and how many ranges a request may have. */
async function shapeOf(socket: string): Promise<{ capacity: number; rangesMax: number }> {
  const frontEnd = await MockFrontEnd.start(socket);
  try {
    const { at } = virtioBlkConfig;
    // Not all of it: back-ends refuse what is longer than the one they know.
    const config = await frontEnd.config(at.write_zeroes_may_unmap + 1);
    const view = new DataView(config.buffer, config.byteOffset);
    const ranges = [at.max_discard_seg, at.max_write_zeroes_seg].map((where) =>
      view.getUint32(where, true),
    );
    const capacity = Number(view.getBigUint64(at.capacity, true));
    return { capacity, rangesMax: Math.min(RANGES_MAX, ...ranges) };
  } finally {
    frontEnd.close();
  }
}

async function reportFailure(
  settings: Settings,
  operations: readonly CheckedOperation[],
  { text }: CheckFailure,
  plays: number,
): Promise<void> {
  process.stderr.write(`check-back-end: WRONG: ${text}\n`);
  const fails = async (some: readonly CheckedOperation[]) =>
    (await playOn(settings, some)).failure !== null;
  const fewest = plays > 0 ? await fewestThatFail(operations, fails, plays) : operations;
  if (fewest === operations) return;
  const head = `the fewest found that fail, ${fewest.length} of ${operations.length}:`;
  process.stderr.write(`${[head, ...fewest.map(operationText)].join('\n')}\n`);
}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
      count: { type: 'string', default: '5000' },
      queues: { type: 'string', default: '2' },
      sectors: { type: 'string', default: '16384' },
      plays: { type: 'string', default: '100' },
      packed: { type: 'boolean', default: false },
      plain: { type: 'boolean', default: false },
      'in-order': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const [socket] = positionals;
  if (socket === undefined || positionals.length > 1)
    throw new Error('expected one socket (--help)');
  const [seed, count, queueCount, plays] = (['seed', 'count', 'queues', 'plays'] as const).map(
    (name) => numberOf(name, values[name]),
  ) as [number, number, number, number];
  const { capacity, rangesMax } = await shapeOf(socket);
  if (rangesMax === 0) throw new Error('the back-end takes no discards or no zeroes');
  const sectors = Math.min(numberOf('sectors', values.sectors), capacity);
  const { packed, plain, 'in-order': inOrder } = values;
  const settings = { socket, seed, queueCount, packed, inOrder, plain, sectors };
  const operations = drawOperations({ seed, count, diskSectors: sectors, queueCount, rangesMax });
  const { failure, answered } = await playOn(settings, operations);
  if (failure === null) {
    process.stdout.write(`check-back-end: ok: ${answered} requests (seed ${seed})\n`);
    return 0;
  }
  await reportFailure(settings, operations, failure, plays);
  return 1;
}

process.exitCode = await main(process.argv.slice(2)).catch((error: Error) => {
  process.stderr.write(`check-back-end: ${error.message}\n`);
  return 2;
});
