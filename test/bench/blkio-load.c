/*
 * A load generator on libblkio, for the benchmark: keeps `depth` requests in flight on each of `queues` queues, or
 * issues them at a fixed rate, and times every one. Like a guest without polling it sleeps until something completes
 * ("spin" polls the used rings instead). One thread serves all queues: a thread each costs two context switches more
 * for every wake-up, on the processors that the back-end needs. Its answer is one line of JSON.
 *
 * With verify=1 every byte read is checked, see blkio-load-stamp.h. The disk must hold what op=fill wrote, which is
 * generation 0 of every block; each write to a block since is one more.
 *
 * Usage: blkio-load SOCKET [name=value ...]
 *   op=randread|randwrite|randrw|read|write|discard|flush|writeflush|fill   writeflush: a write, then a flush, as one
 *   depth=N size=BYTES queues=N seconds=S wait=sleep|spin verify=0|1
 *   rate=N (requests a second, one queue; latency counts from when a request was due) cpu=N (runs only there)
 */
#define _GNU_SOURCE
#include <blkio.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "blkio-load-latency.h"
#include "blkio-load-stamp.h"

#define MAX_DEPTH 256
#define MAX_QUEUES 16
#define STALL_MS 10000

enum kind { READ, WRITE, DISCARD, FLUSH };

struct op {
	const char *name;
	int reads_percent, random;
	enum kind kind;
	int then_flush, fills;
};

static const struct op ops[] = {
	{ "randread", 100, 1, READ, 0, 0 },   { "randwrite", 0, 1, WRITE, 0, 0 },
	{ "randrw", 50, 1, WRITE, 0, 0 },     { "read", 100, 0, READ, 0, 0 },
	{ "write", 0, 0, WRITE, 0, 0 },	      { "discard", 0, 1, DISCARD, 0, 0 },
	{ "flush", 0, 1, FLUSH, 0, 0 },	      { "writeflush", 0, 1, WRITE, 1, 0 },
	{ "fill", 0, 0, WRITE, 0, 1 },
};

struct slot {
	enum kind kind;
	uint64_t block, due_ns;
	char *buffer;
};

struct lane {
	struct blkioq *queue;
	struct slot slots[MAX_DEPTH];
	struct slot *idle[MAX_DEPTH];
	int idle_count;
};

static struct lane lanes[MAX_QUEUES];
static const struct op *op = &ops[0];
static int depth = 1, queues = 1, spin, verify, cpu = -1;
static uint64_t size = 4096, rate, blocks, cursor;
static double seconds = 1;
static uint64_t checked, idle_ns;
static uint64_t random_state = 88172645463325252ull;
/* For verify: the number of writes to each block, and whether a request on it is in flight. */
static uint32_t *generations;
static unsigned char *busy;

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static void require(int ret, const char *what)
{
	if (ret < 0)
		fail(what, blkio_get_error_msg());
}

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Two requests in flight on one block have no order: a verifying load avoids them. */
static uint64_t pick_block(void)
{
	uint64_t block;

	do {
		block = op->random ? next_random() % blocks : cursor++ % blocks;
	} while (verify && busy[block]);
	return block;
}

static void submit(struct lane *lane, struct slot *slot, uint64_t due_ns)
{
	uint64_t offset;

	slot->due_ns = due_ns;
	slot->block = pick_block();
	slot->kind = op->kind;
	/* The upper bits: xorshift's lower ones choose the block. */
	if (op->reads_percent && next_random() >> 32 < op->reads_percent * (UINT32_MAX / 100ull + 1))
		slot->kind = READ;
	offset = slot->block * size;
	if (verify) {
		busy[slot->block] = 1;
		if (slot->kind == WRITE)
			write_stamps(slot->buffer, offset, size, op->fills ? 0 : ++generations[slot->block]);
		else
			memset(slot->buffer, 0xdd, size);
	}
	if (slot->kind == READ)
		blkioq_read(lane->queue, offset, slot->buffer, size, slot, 0);
	else if (slot->kind == WRITE)
		blkioq_write(lane->queue, offset, slot->buffer, size, slot, 0);
	else if (slot->kind == DISCARD)
		blkioq_discard(lane->queue, offset, size, slot, 0);
	else
		blkioq_flush(lane->queue, slot, 0);
}

/* Waits for at least `least` completions of one queue; gives how many there were. */
static int reap(struct lane *lane, int least, struct timespec *timeout)
{
	struct blkio_completion done[MAX_DEPTH];
	int n = blkioq_do_io(lane->queue, done, least, depth, timeout);
	uint64_t now = now_ns();

	if (n == -ETIME)
		return 0;
	require(n, "do_io");
	for (int i = 0; i < n; i++) {
		struct slot *slot = done[i].user_data;

		if (done[i].ret < 0)
			fail("request", strerror(-done[i].ret));
		if (op->then_flush && slot->kind == WRITE) {
			slot->kind = FLUSH;
			blkioq_flush(lane->queue, slot, 0);
			continue;
		}
		record_latency(now - slot->due_ns);
		if (verify && slot->kind == READ) {
			check_stamps(slot->buffer, slot->block * size, size, generations[slot->block]);
			checked++;
		}
		if (verify)
			busy[slot->block] = 0;
		lane->idle[lane->idle_count++] = slot;
	}
	return n;
}

static int reap_all(void)
{
	int n = 0;

	for (int q = 0; q < queues; q++)
		n += reap(&lanes[q], 0, NULL);
	return n;
}

/* As a guest's driver does it: calls are off while there is work, and on before the last look at the rings. */
static void sleep_on_all(void)
{
	struct pollfd fds[MAX_QUEUES];
	uint64_t value;

	for (int q = 0; q < queues; q++) {
		blkioq_set_completion_fd_enabled(lanes[q].queue, true);
		fds[q] = (struct pollfd){ blkioq_get_completion_fd(lanes[q].queue), POLLIN, 0 };
	}
	if (reap_all() == 0 && poll(fds, queues, STALL_MS) == 0)
		fail("poll", "nothing completed for ten seconds");
	for (int q = 0; q < queues; q++) {
		if ((fds[q].revents & POLLIN) && read(fds[q].fd, &value, sizeof(value)) < 0 && errno != EAGAIN)
			fail("completion fd", strerror(errno));
		blkioq_set_completion_fd_enabled(lanes[q].queue, false);
	}
}

static int in_flight(void)
{
	int count = queues * depth;

	for (int q = 0; q < queues; q++)
		count -= lanes[q].idle_count;
	return count;
}

static void wait_for_completions(struct timespec *timeout)
{
	uint64_t before = now_ns();

	if (spin) {
		if (reap_all() == 0)
			idle_ns += now_ns() - before;
	} else if (timeout && in_flight() == 0) {
		clock_nanosleep(CLOCK_MONOTONIC, 0, timeout, NULL);
	} else if (queues == 1) {
		reap(&lanes[0], 1, timeout);
	} else if (reap_all() == 0) {
		sleep_on_all();
	}
}

static void run(void)
{
	uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), issued = 0;

	for (;;) {
		uint64_t now = now_ns(), due = rate ? start + issued * 1000000000 / rate : now;
		int more = op->fills ? cursor < blocks : now < end;
		struct timespec timeout, *until = NULL;

		for (int q = 0; q < queues; q++) {
			struct lane *lane = &lanes[q];

			while (more && due <= now && lane->idle_count > 0) {
				submit(lane, lane->idle[--lane->idle_count], due);
				issued++;
				if (rate)
					due = start + issued * 1000000000 / rate;
				more = !op->fills || cursor < blocks;
			}
		}
		if (!more && in_flight() == 0)
			return;
		if (rate && more && lanes[0].idle_count > 0) {
			timeout = (struct timespec){ (due - now) / 1000000000, (due - now) % 1000000000 };
			until = &timeout;
		}
		wait_for_completions(until);
	}
}

static void parse(const char *argument)
{
	const char *value = strchr(argument, '=');
	size_t length = value ? (size_t)(value - argument) : 0;

	if (!value++)
		fail(argument, "not of the form name=value");
#define IS(name) (length == strlen(name) && !strncmp(argument, name, length))
	if (IS("op")) {
		op = NULL;
		for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++)
			if (!strcmp(ops[i].name, value))
				op = &ops[i];
		if (!op)
			fail(argument, "unknown");
	} else if (IS("depth")) {
		depth = atoi(value);
	} else if (IS("size")) {
		size = strtoull(value, NULL, 10);
	} else if (IS("queues")) {
		queues = atoi(value);
	} else if (IS("seconds")) {
		seconds = atof(value);
	} else if (IS("wait")) {
		spin = !strcmp(value, "spin");
	} else if (IS("rate")) {
		rate = strtoull(value, NULL, 10);
	} else if (IS("cpu")) {
		cpu = atoi(value);
	} else if (IS("verify")) {
		verify = atoi(value);
	} else {
		fail(argument, "unknown");
	}
#undef IS
}

static void pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("cpu", strerror(errno));
}

static struct blkio *open_disk(const char *socket)
{
	struct blkio_mem_region region;
	struct blkio *disk;
	uint64_t capacity;

	require(blkio_create("virtio-blk-vhost-user", &disk), "create");
	require(blkio_set_str(disk, "path", socket), "path");
	require(blkio_connect(disk), "connect");
	require(blkio_set_int(disk, "num-queues", queues), "num-queues");
	require(blkio_start(disk), "start");
	require(blkio_get_uint64(disk, "capacity", &capacity), "capacity");
	require(blkio_alloc_mem_region(disk, &region, queues * depth * size), "memory");
	memset(region.addr, 0x5a, region.len);
	require(blkio_map_mem_region(disk, &region), "map");
	blocks = capacity / size;
	if (blocks < (uint64_t)queues * depth * 2)
		fail("size", "the disk has too few blocks");
	for (int q = 0; q < queues; q++) {
		struct lane *lane = &lanes[q];

		lane->queue = blkio_get_queue(disk, q);
		/* A single queue sleeps inside libblkio, which needs its calls. */
		if (spin || queues > 1)
			blkioq_set_completion_fd_enabled(lane->queue, false);
		for (int i = 0; i < depth; i++) {
			lane->slots[i].buffer = (char *)region.addr + (uint64_t)(q * depth + i) * size;
			lane->idle[lane->idle_count++] = &lane->slots[i];
		}
	}
	return disk;
}

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		fail("usage", "blkio-load SOCKET [name=value ...]");
	for (int i = 2; i < argc; i++)
		parse(argv[i]);
	if (depth < 1 || depth > MAX_DEPTH || queues < 1 || queues > MAX_QUEUES || size < 512 || size % 512)
		fail("depth, queues or size", "out of range");
	if (rate && queues > 1)
		fail("rate", "needs a single queue");
	verify |= op->fills;
	if (verify && (op->kind == DISCARD || op->kind == FLUSH))
		fail("verify", "checks reads and writes only");
	/* A sleep until the next request is due must not be rounded up by the usual 50 µs. */
	prctl(PR_SET_TIMERSLACK, 1);
	if (cpu >= 0)
		pin();
	struct blkio *disk = open_disk(argv[1]);

	if (verify) {
		generations = calloc(blocks, sizeof(*generations));
		busy = calloc(blocks, 1);
		if (!generations || !busy)
			fail("verify", "no memory");
	}
	double cpu_before = cpu_seconds();
	uint64_t start = now_ns();

	run();
	double taken = (now_ns() - start) / 1e9;

	printf("{\"requests\":%llu,\"seconds\":%.6f,\"busySeconds\":%.6f,\"checked\":%llu,"
	       "\"p50Us\":%.2f,\"p99Us\":%.2f,\"p999Us\":%.2f}\n",
	       (unsigned long long)recorded, taken, spin ? taken - idle_ns / 1e9 : cpu_seconds() - cpu_before,
	       (unsigned long long)checked, percentile_us(0.5), percentile_us(0.99), percentile_us(0.999));
	blkio_destroy(&disk);
	return 0;
}
