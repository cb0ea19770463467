/* What a broken disk does: writes lost, torn, in the wrong place or late, reads of old data, zeroes that are none. */
#include "spoil.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Operations that a late write waits for. */
#define LATE_BY 200

static enum spoil way;
static uint32_t one_in, unit_size, waits;
/* A write that is late, or what a write has replaced: stale reads bring that once more. */
static struct op kept;
static unsigned char *kept_bytes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void spoil_one_in(enum spoil spoil, uint32_t every, uint32_t unit)
{
	way = spoil;
	one_in = every;
	unit_size = unit;
}

static void keep(const struct op *op, const unsigned char *bytes)
{
	kept = *op;
	kept_bytes = target_buffer(op->length);
	memcpy(kept_bytes, bytes, op->length);
}

static void let_go(void)
{
	free(kept_bytes);
	kept_bytes = NULL;
}

static int do_torn(const struct target *target, const struct op *op, unsigned char *buffer)
{
	unsigned char *old = target_buffer(unit_size), *end = buffer + op->length - unit_size;
	struct op last = { .kind = READ, .offset = op->offset + op->length - unit_size, .length = unit_size,
			   .pieces = 1, .direct = op->direct };

	target_do(target, &last, old);
	memcpy(end + unit_size / 2, old + unit_size / 2, unit_size - unit_size / 2);
	free(old);
	return target_do(target, op, buffer);
}

static int do_misplaced(const struct target *target, struct op op, unsigned char *buffer)
{
	op.offset = op.offset >= op.length ? op.offset - op.length : op.offset + unit_size;
	if (op.offset + op.length > target->size)
		return 0;
	return target_do(target, &op, buffer);
}

static void patch_with_kept(const struct op *op, unsigned char *buffer)
{
	uint64_t from = op->offset > kept.offset ? op->offset : kept.offset;
	uint64_t to = op->offset + op->length < kept.offset + kept.length ? op->offset + op->length :
									    kept.offset + kept.length;

	memcpy(buffer + (from - op->offset), kept_bytes + (from - kept.offset), to - from);
	let_go();
}

static int do_wrong(const struct target *target, const struct op *op, unsigned char *buffer)
{
	int result;

	switch (way) {
	case SPOIL_TORN:
		return do_torn(target, op, buffer);
	case SPOIL_MISPLACED:
		return do_misplaced(target, *op, buffer);
	case SPOIL_LATE:
		if (kept_bytes)
			return target_do(target, op, buffer);
		keep(op, buffer);
		waits = LATE_BY;
		return 0;
	case SPOIL_STALE: {
		struct op before = *op;
		unsigned char *old = target_buffer(op->length);

		if (kept_bytes)
			let_go();
		before.kind = READ;
		result = target_do(target, &before, old);
		if (result == 0)
			keep(op, old);
		free(old);
		return result < 0 ? result : target_do(target, op, buffer);
	}
	default:
		return 0;
	}
}

/* By what the operation is and not by its turn, so that the same ones go wrong in a replay. */
static int is_hit(const struct op *op)
{
	int is_its_kind = way == SPOIL_NOT_ZEROED ? op->kind == ZERO || op->kind == PUNCH : op->kind == WRITE;

	return is_its_kind && (op->offset / unit_size * 31 + op->length / unit_size) % one_in == 0;
}

int spoil_do(const struct target *target, const struct op *op, unsigned char *buffer)
{
	int result;

	if (way == SPOIL_NOTHING)
		return target_do(target, op, buffer);
	pthread_mutex_lock(&lock);
	if (is_hit(op))
		result = do_wrong(target, op, buffer);
	else
		result = target_do(target, op, buffer);
	if (way == SPOIL_STALE && kept_bytes && op->kind == READ && touches(op, kept.offset, kept.length))
		patch_with_kept(op, buffer);
	if (way == SPOIL_LATE && kept_bytes && --waits == 0) {
		target_do(target, &kept, kept_bytes);
		let_go();
	}
	pthread_mutex_unlock(&lock);
	return result;
}
