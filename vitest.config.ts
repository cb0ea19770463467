import { defineConfig } from 'vitest/config';

/**
 * One project per part of the tests (see test/README.md). The parts that start processes and virtual
 * machines run after the others and one file at a time: two machines side by side on two cores make
 * each other miss their deadlines.
 */
const parts = [
  { name: 'unit', testTimeout: 10_000, fileParallelism: true, groupOrder: 0 },
  { name: 'property', testTimeout: 60_000, fileParallelism: true, groupOrder: 0 },
  { name: 'conformance', testTimeout: 60_000, fileParallelism: true, groupOrder: 0 },
  { name: 'kernel', testTimeout: 60_000, fileParallelism: false, groupOrder: 1 },
  { name: 'guest', testTimeout: 600_000, fileParallelism: false, groupOrder: 2 },
];

export default defineConfig({
  test: {
    reporters: ['default', './test/support/part-reporter.ts'],
    projects: parts.map(({ name, testTimeout, fileParallelism, groupOrder }) => ({
      test: {
        name,
        include: [`test/${name}/**/*.test.ts`],
        testTimeout,
        hookTimeout: 900_000,
        globalSetup: './test/support/own-run-directory.ts',
        fileParallelism,
        sequence: { groupOrder },
        pool: 'forks',
      },
    })),
  },
});
