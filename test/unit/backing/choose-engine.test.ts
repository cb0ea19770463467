/**
 * Which engine and which path a file gets, for everything that can be asked of every kind of file on
 * machines with and without io_uring; refusals are sentences that name the option.
 */
import { describe, expect, test } from 'vitest';
import {
  chooseEngine,
  type EngineChoice,
  type EngineFacts,
} from '../../../src/backing/choose-engine.ts';

const FORBIDDEN = 'io_uring is forbidden here (EPERM)';

const DIRECT = { direct: true, inMemory: false };
const BUFFERED = { direct: false, inMemory: false };
const IN_MEMORY = { direct: false, inMemory: true };

function choose(facts: Partial<EngineFacts>): EngineChoice | string {
  return chooseEngine({
    requested: 'auto',
    requestedPath: 'auto',
    uringRefusal: null,
    aioRefusal: null,
    readsWithoutWaiting: true,
    ...BUFFERED,
    ...facts,
  });
}

function chosen(facts: Partial<EngineFacts>): EngineChoice {
  const choice = choose(facts);
  if (typeof choice === 'string') throw new Error(`refused: ${choice}`);
  return choice;
}

describe('--aio=auto', () => {
  test.each([
    ['direct', DIRECT],
    ['buffered', BUFFERED],
    ['in memory', IN_MEMORY],
  ])('takes io_uring for a %s file where the kernel has it', (_, file) => {
    expect(chosen(file)).toMatchObject({ engine: 'io_uring', engineReason: 'the kernel has it' });
  });

  test('takes Linux AIO for direct I/O where io_uring is forbidden, and says both whys', () => {
    expect(chosen({ uringRefusal: FORBIDDEN, ...DIRECT })).toMatchObject({
      engine: 'native',
      engineReason: `${FORBIDDEN}; direct I/O is asynchronous here too`,
    });
  });

  test('takes threads for direct I/O where both are forbidden, and says both whys', () => {
    const aioRefusal = 'Linux AIO is not to be had either (EPERM)';
    expect(chosen({ uringRefusal: FORBIDDEN, aioRefusal, ...DIRECT })).toMatchObject({
      engine: 'threads',
      engineReason: `${FORBIDDEN}; ${aioRefusal}`,
    });
  });

  test.each([
    ['buffered', BUFFERED],
    ['in memory', IN_MEMORY],
  ])('takes threads for a %s file where io_uring is forbidden', (_, file) => {
    expect(chosen({ uringRefusal: FORBIDDEN, ...file })).toMatchObject({
      engine: 'threads',
      engineReason: `${FORBIDDEN}; buffered I/O is not asynchronous without it`,
    });
  });
});

describe('an engine that is asked for', () => {
  test.each([
    ['io_uring', null, DIRECT],
    ['io_uring', null, BUFFERED],
    ['io_uring', null, IN_MEMORY],
    ['native', null, DIRECT],
    ['native', FORBIDDEN, DIRECT],
    ['threads', null, DIRECT],
    ['threads', null, BUFFERED],
    ['threads', FORBIDDEN, IN_MEMORY],
  ] as const)('%s is taken (io_uring: %s, %j)', (requested, uringRefusal, file) => {
    expect(chosen({ requested, uringRefusal, ...file })).toMatchObject({
      engine: requested,
      engineReason: `asked for by --aio=${requested}`,
    });
  });

  test.each([DIRECT, BUFFERED, IN_MEMORY])(
    'io_uring is refused where it is forbidden: %j',
    (file) => {
      expect(choose({ requested: 'io_uring', uringRefusal: FORBIDDEN, ...file })).toBe(
        `--aio=io_uring: ${FORBIDDEN}`,
      );
    },
  );

  test.each([
    ['buffered', BUFFERED, null],
    ['buffered', BUFFERED, FORBIDDEN],
    ['in memory', IN_MEMORY, null],
  ])('native is refused for a file that is %s, with what serves it', (_, file, uringRefusal) => {
    expect(choose({ requested: 'native', uringRefusal, ...file })).toBe(
      '--aio=native needs direct I/O, and this file is buffered (--aio=threads serves it)',
    );
  });
});

describe('the path', () => {
  test.each([
    ['io_uring', true, 'are served in place by the ring where they are cached'],
    ['io_uring', false, 'go to kernel threads: the file system cannot try one without waiting'],
    ['threads', true, 'go through the engine'],
  ] as const)('buffered, %s, reads without waiting: %s', (requested, readsWithoutWaiting, how) => {
    expect(chosen({ requested, readsWithoutWaiting, ...BUFFERED })).toMatchObject({
      path: 'writes',
      pathReason: `writes into the page cache are calls while they are quick; reads ${how}`,
    });
  });

  test.each([
    ['auto', DIRECT, 'engine', 'direct I/O waits for the device'],
    ['auto', IN_MEMORY, 'calls', 'the file is in memory: a call is faster than a hand-over'],
    ['engine', DIRECT, 'engine', 'asked for by --io-path=engine'],
    ['engine', BUFFERED, 'engine', 'asked for by --io-path=engine'],
    ['engine', IN_MEMORY, 'engine', 'asked for by --io-path=engine'],
    ['calls', DIRECT, 'calls', 'asked for by --io-path=calls'],
    ['calls', BUFFERED, 'calls', 'asked for by --io-path=calls'],
    ['calls', IN_MEMORY, 'calls', 'asked for by --io-path=calls'],
  ] as const)('--io-path=%s for %j is %s', (requestedPath, file, path, pathReason) => {
    // The path is a matter of the file, not of the engine behind it.
    for (const requested of ['auto', 'io_uring', 'threads'] as const) {
      expect(chosen({ requested, requestedPath, ...file })).toMatchObject({ path, pathReason });
    }
  });
});
