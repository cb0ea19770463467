/*
 * An operation and the log of all of them. The log is the only truth about time: `started` and `ended` are counted by
 * one clock, and an operation's number is also the version of what it writes.
 */
#ifndef OP_LOG_H
#define OP_LOG_H
#include <stdint.h>
#include <stdio.h>

enum kind { READ, WRITE, ZERO, PUNCH, DISCARD, FLUSH, KINDS };

/* What a range holds before its first operation: numbers that stand for content and are no operations. */
enum { VERSION_ZEROES, VERSION_INITIAL, FIRST_OP };

struct op {
	uint64_t offset; /* in the region, in bytes */
	uint32_t length, started, ended; /* ended: 0 while it is in flight */
	uint8_t kind, lane, pieces, direct;
};

struct op_log {
	struct op *ops; /* by number; those below FIRST_OP are never looked at */
	uint32_t count, room;
};

/* Operations that a run may have. */
#ifndef LOG_MOST /* a test compiles it with less */
#define LOG_MOST (4u << 20)
#endif

extern const char *const kind_names[KINDS];

static inline int changes(const struct op *op)
{
	return op->kind != READ && op->kind != FLUSH;
}

static inline int touches(const struct op *op, uint64_t offset, uint64_t length)
{
	return op->kind != FLUSH && op->offset < offset + length && offset < op->offset + op->length;
}

void op_log_init(struct op_log *log, uint32_t room);
void op_print(FILE *to, uint32_t number, const struct op *op);
void op_log_write(const struct op_log *log, const char *path, uint64_t seed);
/* Reads what op_log_write has written; returns the seed. */
uint64_t op_log_read(struct op_log *log, const char *path);

#endif
