/*
 * A verifying client on libblkio: one thread for each queue, each with `depth` requests in flight. Every slot owns
 * a zone of the disk and a copy of what it must hold; it writes, reads and compares, zeroes, discards and flushes
 * at random places, through random numbers of pieces that start at any byte of memory. Ends by reading everything
 * back, and writes the copies to SHADOW for a comparison with the image.
 * Usage: blkio-verify SOCKET QUEUES DEPTH SECONDS SEED SHADOW      (the disk is all zeroes at start)
 */
#include <blkio.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAX_DEPTH 128
#define MAX_PIECES 6
#define REQUEST_MAX (128 << 10)
/* Room to move a piece by some bytes. */
#define BUFFER_SIZE (REQUEST_MAX + MAX_PIECES * 64)

enum op { WRITE, READ, ZERO, DISCARD, FLUSH, OPS };

struct slot {
	enum op op;
	uint64_t start; /* of the zone, on the disk */
	uint64_t offset, length; /* of the request, in the zone */
	unsigned char *shadow, *buffer;
	struct iovec pieces[MAX_PIECES];
	int piece_count;
};

struct lane {
	pthread_t thread;
	struct blkioq *queue;
	struct slot slots[MAX_DEPTH];
	uint64_t random_state, count[OPS];
};

static struct blkio *disk;
static uint64_t zone_size, end_ns;
static int depth, unit;

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

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t pick(struct lane *lane, uint64_t below)
{
	lane->random_state ^= lane->random_state << 13;
	lane->random_state ^= lane->random_state >> 7;
	lane->random_state ^= lane->random_state << 17;
	return lane->random_state % below;
}

/* Cuts the request's memory into pieces of any length; half of the requests begin at an aligned address. */
static void cut(struct lane *lane, struct slot *slot)
{
	unsigned char *at = slot->buffer;
	uint64_t left = slot->length;
	int pieces = 1 + pick(lane, MAX_PIECES), aligned = pick(lane, 2);

	slot->piece_count = 0;
	while (left > 0) {
		int last = slot->piece_count == pieces - 1;
		uint64_t length = last ? left : 1 + pick(lane, left);

		if (aligned && !last)
			length = length < 512 ? left : length & ~511ull;
		at += aligned ? 0 : pick(lane, 64);
		slot->pieces[slot->piece_count++] = (struct iovec){ at, length };
		at += length;
		left -= length;
	}
}

static void transfer(struct slot *slot, int to_disk)
{
	unsigned char *shadow = slot->shadow + slot->offset;

	for (int i = 0; i < slot->piece_count; i++) {
		struct iovec *piece = &slot->pieces[i];

		if (to_disk)
			memcpy(shadow, piece->iov_base, piece->iov_len);
		else if (memcmp(shadow, piece->iov_base, piece->iov_len) != 0) {
			fprintf(stderr, "wrong data: disk offset %llu, request of %llu, piece %d of %d\n",
				(unsigned long long)(slot->start + slot->offset),
				(unsigned long long)slot->length, i + 1, slot->piece_count);
			exit(1);
		}
		shadow += piece->iov_len;
	}
}

static void submit(struct lane *lane, struct slot *slot)
{
	static const enum op dice[] = { WRITE, WRITE, WRITE, WRITE, WRITE, READ, READ, READ,
					READ, READ, ZERO, ZERO, DISCARD, FLUSH };
	uint64_t units = (pick(lane, 4) == 0 ? REQUEST_MAX : 16384) / unit, at;

	slot->op = dice[pick(lane, sizeof(dice) / sizeof(*dice))];
	slot->length = (1 + pick(lane, units)) * unit;
	slot->offset = pick(lane, (zone_size - slot->length) / unit + 1) * unit;
	at = slot->start + slot->offset;
	cut(lane, slot);
	lane->count[slot->op]++;
	switch (slot->op) {
	case WRITE:
		for (int i = 0; i < slot->piece_count; i++) {
			uint64_t byte = pick(lane, 256);

			/* A few words differ, so that a block in the wrong place shows. */
			memset(slot->pieces[i].iov_base, byte, slot->pieces[i].iov_len);
			for (size_t j = 0; j + 8 <= slot->pieces[i].iov_len; j += 256)
				memcpy((char *)slot->pieces[i].iov_base + j, &lane->random_state, 8);
		}
		transfer(slot, 1);
		blkioq_writev(lane->queue, at, slot->pieces, slot->piece_count, slot, 0);
		break;
	case READ:
		for (int i = 0; i < slot->piece_count; i++)
			memset(slot->pieces[i].iov_base, 0xdd, slot->pieces[i].iov_len);
		blkioq_readv(lane->queue, at, slot->pieces, slot->piece_count, slot, 0);
		break;
	case ZERO:
		memset(slot->shadow + slot->offset, 0, slot->length);
		blkioq_write_zeroes(lane->queue, at, slot->length, slot,
				    pick(lane, 2) ? BLKIO_REQ_NO_UNMAP : 0);
		break;
	case DISCARD:
		memset(slot->shadow + slot->offset, 0, slot->length);
		blkioq_discard(lane->queue, at, slot->length, slot, 0);
		break;
	default:
		blkioq_flush(lane->queue, slot, 0);
	}
}

static void read_back(struct lane *lane, struct slot *slot)
{
	struct blkio_completion done;

	for (uint64_t offset = 0; offset < zone_size; offset += slot->length) {
		uint64_t left = zone_size - offset;

		slot->offset = offset;
		slot->length = left < REQUEST_MAX ? left : REQUEST_MAX;
		slot->piece_count = 1;
		slot->pieces[0] = (struct iovec){ slot->buffer, slot->length };
		blkioq_readv(lane->queue, slot->start + offset, slot->pieces, 1, slot, 0);
		require(blkioq_do_io(lane->queue, &done, 1, 1, NULL), "do_io");
		if (done.ret < 0)
			fail("read back", strerror(-done.ret));
		transfer(slot, 0);
	}
}

static void *run(void *argument)
{
	struct lane *lane = argument;
	struct blkio_completion done[MAX_DEPTH];
	int in_flight = depth;

	for (int i = 0; i < depth; i++)
		submit(lane, &lane->slots[i]);
	while (in_flight > 0) {
		int n = blkioq_do_io(lane->queue, done, 1, depth, NULL);

		require(n, "do_io");
		for (int i = 0; i < n; i++) {
			struct slot *slot = done[i].user_data;

			if (done[i].ret < 0) {
				fprintf(stderr, "operation %d at %llu: ", slot->op,
					(unsigned long long)(slot->start + slot->offset));
				fail("failed", strerror(-done[i].ret));
			}
			if (slot->op == READ)
				transfer(slot, 0);
			if (now_ns() < end_ns)
				submit(lane, slot);
			else
				in_flight--;
		}
	}
	for (int i = 0; i < depth; i++)
		read_back(lane, &lane->slots[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	struct blkio_mem_region region;
	uint64_t capacity, total[OPS] = { 0 };

	if (argc != 7)
		fail("usage", "blkio-verify SOCKET QUEUES DEPTH SECONDS SEED SHADOW");
	int queues = atoi(argv[2]);
	struct lane *lanes = calloc(queues, sizeof(*lanes));

	depth = atoi(argv[3]);
	if (depth < 1 || depth > MAX_DEPTH)
		fail("depth", argv[3]);
	require(blkio_create("virtio-blk-vhost-user", &disk), "create");
	require(blkio_set_str(disk, "path", argv[1]), "path");
	require(blkio_connect(disk), "connect");
	require(blkio_set_int(disk, "num-queues", queues), "num-queues");
	require(blkio_start(disk), "start");
	require(blkio_get_uint64(disk, "capacity", &capacity), "capacity");
	require(blkio_get_int(disk, "request-alignment", &unit), "request-alignment");
	zone_size = capacity / (queues * depth) / 4096 * 4096;
	if (zone_size < REQUEST_MAX)
		fail("zones", "the disk is too small");
	require(blkio_alloc_mem_region(disk, &region, (size_t)queues * depth * BUFFER_SIZE), "memory");
	require(blkio_map_mem_region(disk, &region), "map");
	unsigned char *shadow = calloc(1, capacity), *buffer = region.addr;

	end_ns = now_ns() + (uint64_t)(atof(argv[4]) * 1e9);
	for (int q = 0; q < queues; q++) {
		lanes[q].queue = blkio_get_queue(disk, q);
		lanes[q].random_state = (strtoull(argv[5], NULL, 10) + q + 1) * 0x9e3779b97f4a7c15ull;
		for (int i = 0; i < depth; i++) {
			struct slot *slot = &lanes[q].slots[i];

			slot->start = (q * depth + i) * zone_size;
			slot->shadow = shadow + slot->start;
			slot->buffer = buffer + (size_t)(q * depth + i) * BUFFER_SIZE;
		}
		if (pthread_create(&lanes[q].thread, NULL, run, &lanes[q]))
			fail("thread", "cannot start");
	}
	for (int q = 0; q < queues; q++) {
		pthread_join(lanes[q].thread, NULL);
		for (int op = 0; op < OPS; op++)
			total[op] += lanes[q].count[op];
	}
	int fd = open(argv[6], O_WRONLY | O_CREAT | O_TRUNC, 0600);

	for (uint64_t at = 0; at < capacity; at += 1 << 20) {
		uint64_t left = capacity - at;
		size_t length = left < 1 << 20 ? left : 1 << 20;

		if (write(fd, shadow + at, length) != (ssize_t)length)
			fail(argv[6], "cannot write");
	}
	printf("{\"writes\":%llu,\"reads\":%llu,\"zeroes\":%llu,\"discards\":%llu,\"flushes\":%llu}\n",
	       (unsigned long long)total[WRITE], (unsigned long long)total[READ],
	       (unsigned long long)total[ZERO], (unsigned long long)total[DISCARD],
	       (unsigned long long)total[FLUSH]);
	blkio_destroy(&disk);
	return 0;
}
