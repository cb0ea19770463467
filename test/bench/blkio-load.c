/*
 * A load generator on libblkio, for the benchmark: keeps `depth` requests at random blocks in flight on one queue
 * and sleeps on the completion eventfd when none is ready, as a guest without polling does ("spin" instead polls
 * the used ring). Times every request. Its answer is one line of JSON.
 * Usage: blkio-load SOCKET read|write DEPTH SIZE SECONDS sleep|spin
 */
#include <blkio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_DEPTH 256
/* 16 steps in each power of two nanoseconds: latencies to within 6 %. */
#define STEPS 16
#define BUCKETS (64 * STEPS)

static uint64_t histogram[BUCKETS];
static uint64_t submitted_ns[MAX_DEPTH];
static uint64_t random_state = 88172645463325252ull;

static void require(int ret, const char *what)
{
	if (ret < 0) {
		fprintf(stderr, "%s: %s\n", what, blkio_get_error_msg());
		exit(1);
	}
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int power = 63 - __builtin_clzll(ns | STEPS);

	return power * STEPS + (ns >> (power - 4)) % STEPS;
}

static double percentile_us(double fraction, uint64_t total)
{
	uint64_t wanted = total * fraction, seen = 0;

	for (unsigned int i = 0; i < BUCKETS; i++) {
		seen += histogram[i];
		if (seen > wanted) {
			uint64_t base = 1ull << (i / STEPS);

			return (base + base / STEPS * (i % STEPS + 0.5)) / 1000.0;
		}
	}
	return 0;
}

struct load {
	struct blkioq *queue;
	char *memory;
	uint64_t blocks;
	size_t size;
	int writing;
};

static void submit(const struct load *load, uintptr_t slot)
{
	uint64_t offset = next_random() % load->blocks * load->size;
	char *buffer = load->memory + slot * load->size;

	submitted_ns[slot] = now_ns();
	if (load->writing)
		blkioq_write(load->queue, offset, buffer, load->size, (void *)slot, 0);
	else
		blkioq_read(load->queue, offset, buffer, load->size, (void *)slot, 0);
}

static uint64_t run(const struct load *load, int depth, uint64_t end_ns, int spin)
{
	struct blkio_completion done[MAX_DEPTH];
	uint64_t total = 0;
	int in_flight = depth;

	for (int slot = 0; slot < depth; slot++)
		submit(load, slot);
	while (in_flight > 0) {
		int n = blkioq_do_io(load->queue, done, spin ? 0 : 1, depth, NULL);
		uint64_t now = now_ns();

		require(n, "do_io");
		for (int i = 0; i < n; i++) {
			uintptr_t slot = (uintptr_t)done[i].user_data;

			require(done[i].ret, "request");
			histogram[bucket_of(now - submitted_ns[slot])]++;
			total++;
			if (now < end_ns)
				submit(load, slot);
			else
				in_flight--;
		}
	}
	return total;
}

int main(int argc, char **argv)
{
	struct blkio_mem_region region;
	struct load load = { 0 };
	uint64_t capacity, start, total;
	struct blkio *disk;

	if (argc != 7) {
		fprintf(stderr, "usage: blkio-load SOCKET read|write DEPTH SIZE SECONDS sleep|spin\n");
		return 2;
	}
	int depth = atoi(argv[3]), spin = !strcmp(argv[6], "spin");
	double seconds = atof(argv[5]);

	load.size = strtoul(argv[4], NULL, 10);
	load.writing = !strcmp(argv[2], "write");
	if (depth < 1 || depth > MAX_DEPTH || load.size < 512 || load.size % 512)
		return 2;
	require(blkio_create("virtio-blk-vhost-user", &disk), "create");
	require(blkio_set_str(disk, "path", argv[1]), "path");
	require(blkio_connect(disk), "connect");
	require(blkio_start(disk), "start");
	require(blkio_get_uint64(disk, "capacity", &capacity), "capacity");
	require(blkio_alloc_mem_region(disk, &region, depth * load.size), "memory");
	memset(region.addr, 0x5a, region.len);
	require(blkio_map_mem_region(disk, &region), "map");
	load.memory = region.addr;
	load.blocks = capacity / load.size;
	load.queue = blkio_get_queue(disk, 0);
	if (spin)
		blkioq_set_completion_fd_enabled(load.queue, false);
	start = now_ns();
	total = run(&load, depth, start + (uint64_t)(seconds * 1e9), spin);
	printf("{\"requests\":%llu,\"seconds\":%.6f,\"p50Us\":%.2f,\"p99Us\":%.2f,\"p999Us\":%.2f}\n",
	       (unsigned long long)total, (now_ns() - start) / 1e9, percentile_us(0.5, total),
	       percentile_us(0.99, total), percentile_us(0.999, total));
	blkio_destroy(&disk);
	return 0;
}
