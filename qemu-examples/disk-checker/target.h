/*
 * The block device or file under test: opened once for direct and once for buffered I/O, and every kind of operation on
 * it as one call. Offsets are in the region that is tested.
 */
#ifndef TARGET_H
#define TARGET_H
#include "op-log.h"

enum io { IO_DIRECT = 1, IO_BUFFERED = 2, IO_BOTH = 3 };

struct target {
	const char *path;
	int is_device, direct_fd, buffered_fd;
	uint64_t start, size; /* the region */
	uint32_t block_size; /* what direct I/O has to be aligned to */
	uint32_t unit;
	enum io io;
	int can[KINDS];
};

/* Opens it for `io`, sizes the region (0: as it is, at most `most`) and finds out what it can do. Stops when it cannot. */
void target_open(struct target *target, uint64_t most);
/* Carries out an operation on a buffer; 0 or -errno. A transfer that ends early is -EIO. */
int target_do(const struct target *target, const struct op *op, unsigned char *buffer);
/* Makes everything durable and drops what is cached. */
void target_forget(const struct target *target);
/* A buffer for transfers of so many bytes in pieces, aligned to pages. */
unsigned char *target_buffer(uint32_t length);

#endif
