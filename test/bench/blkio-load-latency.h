/*
 * Latencies of blkio-load.c, kept as a histogram whose steps grow with the value, so that recording one is a shift
 * and an addition whatever its size: 16 steps in each power of two nanoseconds, figures to within 6 %.
 */
#include <stdint.h>
#include <time.h>

#define STEPS 16
#define BUCKETS (64 * STEPS)

static uint64_t histogram[BUCKETS], recorded;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void record_latency(uint64_t ns)
{
	unsigned int power = 63 - __builtin_clzll(ns | STEPS);

	histogram[power * STEPS + (ns >> (power - 4)) % STEPS]++;
	recorded++;
}

/* The middle of the step that holds the fraction; 0 when nothing was recorded. */
static double percentile_us(double fraction)
{
	uint64_t wanted = recorded * fraction, seen = 0;

	for (unsigned int i = 0; i < BUCKETS; i++) {
		seen += histogram[i];
		if (seen > wanted) {
			uint64_t base = 1ull << (i / STEPS);

			return (base + base / STEPS * (i % STEPS + 0.5)) / 1000.0;
		}
	}
	return 0;
}
