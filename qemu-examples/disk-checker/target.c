/* The block device or file under test, through the system calls that a guest's programs use. See target.h. */
#define _GNU_SOURCE
#include "target.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "stop.h"

#define PIECES_MAX 8
#define PAGE 4096
#define FILE_SIZE_DEFAULT (16 << 20)

unsigned char *target_buffer(uint32_t length)
{
	void *buffer;

	if (posix_memalign(&buffer, PAGE, length + PIECES_MAX * PAGE))
		stop(EXIT_CANNOT_RUN, "no memory for a buffer of %u bytes", length);
	return buffer;
}

/* Data in one run, cut into pieces that start at block boundaries (direct) or anywhere (buffered). */
static int cut(const struct target *target, const struct op *op, unsigned char *buffer, struct iovec *pieces)
{
	uint32_t unit = op->direct ? target->block_size : 1, length = op->length, count = 0;

	while (count + 1 < op->pieces && count + 1 < PIECES_MAX && length > unit) {
		/* Shrinking by a third of what is left: no two pieces are alike. */
		uint32_t piece = (length / 3 / unit + 1) * unit;

		if (piece >= length)
			break;
		pieces[count++] = (struct iovec){ buffer, piece };
		buffer += piece;
		length -= piece;
	}
	pieces[count++] = (struct iovec){ buffer, length };
	return count;
}

static int transfer(const struct target *target, int fd, const struct op *op, unsigned char *buffer)
{
	struct iovec pieces[PIECES_MAX];
	int count = cut(target, op, buffer, pieces);
	uint64_t at = target->start + op->offset;
	ssize_t done = op->kind == READ ? preadv(fd, pieces, count, at) : pwritev(fd, pieces, count, at);

	if (done < 0)
		return -errno;
	return done == op->length ? 0 : -EIO;
}

static int zero(const struct target *target, int fd, const struct op *op)
{
	uint64_t range[2] = { target->start + op->offset, op->length };
	int mode = FALLOC_FL_KEEP_SIZE;

	if (op->kind == DISCARD)
		return ioctl(fd, BLKDISCARD, range);
	if (op->kind == ZERO && target->is_device)
		return ioctl(fd, BLKZEROOUT, range);
	mode |= op->kind == PUNCH ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
	return fallocate(fd, mode, range[0], range[1]);
}

int target_do(const struct target *target, const struct op *op, unsigned char *buffer)
{
	int fd = op->direct ? target->direct_fd : target->buffered_fd;

	if (op->kind == READ || op->kind == WRITE)
		return transfer(target, fd, op, buffer);
	if (op->kind == FLUSH)
		return fdatasync(fd) < 0 ? -errno : 0;
	return zero(target, fd, op) < 0 ? -errno : 0;
}

void target_forget(const struct target *target)
{
	int fd = target->buffered_fd;

	if (fsync(fd) < 0)
		stop(EXIT_DISK_WRONG, "fsync of %s failed: %s", target->path, strerror(errno));
	/* Without the right to drop a device's cache the direct reads still go past it. */
	if (target->is_device)
		ioctl(fd, BLKFLSBUF, 0);
	posix_fadvise(fd, target->start, target->size, POSIX_FADV_DONTNEED);
}

static int open_or_stop(const struct target *target, int flags)
{
	int fd = open(target->path, O_RDWR | O_CLOEXEC | flags, 0600);

	if (fd >= 0)
		return fd;
	if (errno == EBUSY)
		stop(EXIT_CANNOT_RUN, "%s is in use (mounted?)", target->path);
	stop(EXIT_CANNOT_RUN, "cannot open %s: %s", target->path, strerror(errno));
}

static void size_region(struct target *target, uint64_t most)
{
	uint64_t there = 0, wanted;
	struct stat stat;

	fstat(target->buffered_fd, &stat);
	if (target->is_device && ioctl(target->buffered_fd, BLKGETSIZE64, &there) < 0)
		stop(EXIT_CANNOT_RUN, "cannot tell the size of %s: %s", target->path, strerror(errno));
	if (!target->is_device)
		there = stat.st_size;
	wanted = target->size;
	if (wanted == 0) {
		wanted = there > target->start ? there - target->start : 0;
		if (!target->is_device && there == 0)
			wanted = FILE_SIZE_DEFAULT;
		wanted = wanted < most ? wanted : most;
	}
	target->size = wanted / target->block_size * target->block_size;
	if (!target->is_device && target->start + target->size > there &&
	    ftruncate(target->buffered_fd, target->start + target->size) < 0)
		stop(EXIT_CANNOT_RUN, "cannot make %s larger: %s", target->path, strerror(errno));
	if (target->is_device && target->start + target->size > there)
		stop(EXIT_CANNOT_RUN, "the region ends at %llu, %s at %llu",
		     (unsigned long long)(target->start + target->size), target->path, (unsigned long long)there);
}

/* A kind of operation that is not there is left out; one that fails in another way is for the test to find. */
static void probe(struct target *target)
{
	static const int kinds[] = { ZERO, PUNCH, DISCARD };

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct op op = { .kind = kinds[i], .length = target->block_size > PAGE ? target->block_size : PAGE };
		int error;

		if (op.kind == DISCARD && !target->is_device)
			target->can[op.kind] = 0;
		if (!target->can[op.kind])
			continue;
		error = -target_do(target, &op, NULL);
		target->can[op.kind] = error != EOPNOTSUPP && error != ENOTTY && error != EINVAL && error != ENOSYS;
		if (!target->can[op.kind])
			printf("disk-checker: %s cannot %s: left out\n", target->path, kind_names[op.kind]);
	}
}

void target_open(struct target *target, uint64_t most)
{
	struct stat stat;
	int block_size;

	target->is_device = fstatat(AT_FDCWD, target->path, &stat, 0) == 0 && !S_ISREG(stat.st_mode);
	if (target->is_device && !S_ISBLK(stat.st_mode))
		stop(EXIT_CANNOT_RUN, "%s is neither a block device nor a regular file", target->path);
	target->buffered_fd = open_or_stop(target, target->is_device ? O_EXCL : O_CREAT);
	block_size = PAGE;
	if (target->is_device)
		ioctl(target->buffered_fd, BLKSSZGET, &block_size);
	target->block_size = block_size;
	target->direct_fd = open(target->path, O_RDWR | O_CLOEXEC | O_DIRECT);
	if (target->direct_fd < 0 && target->io == IO_DIRECT)
		stop(EXIT_CANNOT_RUN, "%s takes no direct I/O: %s", target->path, strerror(errno));
	if (target->direct_fd < 0 && target->io == IO_BOTH) {
		printf("disk-checker: %s takes no direct I/O: buffered only\n", target->path);
		target->io = IO_BUFFERED;
	}
	if (target->unit == 0)
		target->unit = target->io == IO_BUFFERED ? 1 : target->block_size;
	if (target->start % target->block_size != 0 || target->size % target->block_size != 0)
		stop(EXIT_CANNOT_RUN, "--offset and --size have to be multiples of %u", target->block_size);
	size_region(target, most);
	probe(target);
}
