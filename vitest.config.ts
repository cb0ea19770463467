import { defineConfig } from 'vitest/config';

/**
 * One project per part of the tests (see test/README.md). Guests and real clients run one file at a time:
 * two virtual machines side by side on two cores make each other miss their deadlines.
 */
const parts = [
  { name: 'unit', testTimeout: 10_000, fileParallelism: true },
  { name: 'property', testTimeout: 60_000, fileParallelism: true },
  { name: 'conformance', testTimeout: 60_000, fileParallelism: true },
  { name: 'kernel', testTimeout: 60_000, fileParallelism: false },
  { name: 'guest', testTimeout: 300_000, fileParallelism: false },
];

export default defineConfig({
  test: {
    projects: parts.map(({ name, testTimeout, fileParallelism }) => ({
      test: {
        name,
        include: [`test/${name}/**/*.test.ts`],
        testTimeout,
        hookTimeout: 900_000,
        fileParallelism,
        pool: 'forks',
      },
    })),
  },
});
