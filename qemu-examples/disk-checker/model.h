/*
 * What a disk may legally hold, unit by unit. A unit is the smallest part that is written whole or not at all: a logical
 * block, or a byte of a page cache. Each unit has candidates: the writes that it may hold now, several while requests
 * overlap. The rules:
 *  - a read may give whatever the unit may have held at any time between its start and its end;
 *  - a write that completed replaces all that completed before it started; of two in flight together either may stay;
 *  - once a read that met no write has seen a candidate, the others are out: a unit does not change by itself;
 *  - only a read with a write in flight may find a unit torn, and then every byte is of some candidate.
 * Not thread-safe: the caller holds one lock.
 */
#ifndef MODEL_H
#define MODEL_H
#include "op-log.h"

/* What a discarded unit may hold: zeroes only, what it held or zeroes (vloop, virtio-blk), anything. */
enum discard_rule { DISCARD_ZEROES, DISCARD_OLD_OR_ZEROES, DISCARD_ANYTHING };

#define CANDIDATES_MAX 4
#define WORD 8

struct cell {
	uint32_t version[CANDIDATES_MAX];
	uint32_t dead[CANDIDATES_MAX]; /* reads that start later do not see it; 0: it lives */
	uint32_t count;
};

struct model {
	const struct op_log *log;
	struct cell *cells;
	uint64_t seed, size;
	uint32_t unit;
	enum discard_rule discard_rule;
};

struct mismatch {
	uint64_t offset; /* in the region */
	uint32_t length; /* from there to the end of the unit */
	uint32_t expected; /* a version that would be right */
	int torn; /* parts of it are legal, the whole is not */
	unsigned char want[WORD], got[WORD];
};

void model_init(struct model *model, const struct op_log *log, uint64_t seed, uint64_t size, uint32_t unit);
/* The range holds this version, whatever it held before. Nothing is in flight. */
void model_set(struct model *model, uint64_t offset, uint64_t length, uint32_t version);
/* Whether each unit can take one more candidate. `horizon`: the start of the oldest operation in flight. */
int model_has_room(struct model *model, uint64_t offset, uint64_t length, uint32_t horizon);
void model_begin(struct model *model, uint32_t number);
void model_end(struct model *model, uint32_t number);
/* Checks what a read brought; false: *mismatch says what is wrong. */
int model_check(struct model *model, uint32_t number, const unsigned char *bytes, struct mismatch *mismatch);

/* The bytes that a version puts at an offset of the region. */
void content_fill(const struct model *model, uint32_t version, uint64_t offset, unsigned char *to, uint32_t length);
/* Which version put this word somewhere, and where; false when no operation of the log did. */
int content_find(const struct model *model, const unsigned char *word, uint64_t offset, uint32_t *version,
		 uint64_t *meant_for);

#endif
