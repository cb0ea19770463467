/* The model of a disk: candidates of each unit, and the content that belongs to a version. See model.h for the rules. */
#include "model.h"
#include <stdlib.h>
#include <string.h>
#include "stop.h"

static int is_zeroes(const struct model *model, uint32_t version)
{
	if (version < FIRST_OP)
		return version == VERSION_ZEROES;
	return model->log->ops[version].kind != WRITE;
}

/* Every byte of a word depends on the version and the place: what is lost, stale or misplaced shows in one byte mostly. */
static uint64_t word_of(const struct model *model, uint32_t version, uint64_t word)
{
	uint64_t mixed = model->seed + version * 0x9e3779b97f4a7c15ull + word * 0xd1342543de82ef95ull;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ull;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebull;
	return mixed ^ mixed >> 31;
}

void content_fill(const struct model *model, uint32_t version, uint64_t offset, unsigned char *to, uint32_t length)
{
	if (is_zeroes(model, version)) {
		memset(to, 0, length);
		return;
	}
	while (length > 0) {
		uint32_t skip = offset % WORD, piece = WORD - skip < length ? WORD - skip : length;
		uint64_t word = word_of(model, version, offset / WORD);

		memcpy(to, (unsigned char *)&word + skip, piece);
		to += piece;
		offset += piece;
		length -= piece;
	}
}

static int holds(const struct model *model, uint32_t version, uint64_t offset, const unsigned char *bytes,
		 uint32_t length)
{
	unsigned char expected[WORD];

	for (uint32_t at = 0; at < length;) {
		uint32_t room = WORD - (offset + at) % WORD, piece = room < length - at ? room : length - at;

		content_fill(model, version, offset + at, expected, piece);
		if (memcmp(bytes + at, expected, piece) != 0)
			return 0;
		at += piece;
	}
	return 1;
}

int content_find(const struct model *model, const unsigned char *word, uint64_t offset, uint32_t *version,
		 uint64_t *meant_for)
{
	for (*version = model->log->count; (*version)-- > VERSION_INITIAL;) {
		*meant_for = offset / WORD * WORD;
		if (!is_zeroes(model, *version) && holds(model, *version, *meant_for, word, WORD))
			return 1;
	}
	for (*version = model->log->count; (*version)-- > FIRST_OP;) {
		const struct op *op = &model->log->ops[*version];

		for (uint64_t at = op->offset / WORD; op->kind == WRITE && at * WORD < op->offset + op->length; at++) {
			*meant_for = at * WORD;
			if (holds(model, *version, *meant_for, word, WORD))
				return 1;
		}
	}
	return 0;
}

void model_init(struct model *model, const struct op_log *log, uint64_t seed, uint64_t size, uint32_t unit)
{
	*model = (struct model){ .log = log, .seed = seed, .size = size, .unit = unit };
	model->cells = calloc(size / unit, sizeof(*model->cells));
	if (!model->cells)
		stop(EXIT_CANNOT_RUN, "no memory for a model of %llu bytes", (unsigned long long)size);
}

void model_set(struct model *model, uint64_t offset, uint64_t length, uint32_t version)
{
	for (uint64_t at = offset / model->unit; at < (offset + length) / model->unit; at++)
		model->cells[at] = (struct cell){ .version = { version }, .count = 1 };
}

static int is_dead(const struct cell *cell, uint32_t i, uint32_t now)
{
	return cell->dead[i] != 0 && cell->dead[i] < now;
}

int model_has_room(struct model *model, uint64_t offset, uint64_t length, uint32_t horizon)
{
	for (uint64_t at = offset / model->unit; at < (offset + length) / model->unit; at++) {
		struct cell *cell = &model->cells[at];
		uint32_t kept = 0;

		for (uint32_t i = 0; i < cell->count; i++) {
			if (is_dead(cell, i, horizon))
				continue;
			cell->version[kept] = cell->version[i];
			cell->dead[kept++] = cell->dead[i];
		}
		cell->count = kept;
		if (kept == CANDIDATES_MAX)
			return 0;
	}
	return 1;
}

void model_begin(struct model *model, uint32_t number)
{
	const struct op *op = &model->log->ops[number];

	for (uint64_t at = op->offset / model->unit; at < (op->offset + op->length) / model->unit; at++) {
		struct cell *cell = &model->cells[at];

		cell->version[cell->count] = number;
		cell->dead[cell->count++] = 0;
	}
}

/* Whether a version had completed before `now`. */
static int completed(const struct model *model, uint32_t version, uint32_t now)
{
	if (version < FIRST_OP)
		return 1;
	return model->log->ops[version].ended != 0 && model->log->ops[version].ended < now;
}

void model_end(struct model *model, uint32_t number)
{
	const struct op *op = &model->log->ops[number];

	if (op->kind == DISCARD && model->discard_rule == DISCARD_OLD_OR_ZEROES)
		return;
	for (uint64_t at = op->offset / model->unit; at < (op->offset + op->length) / model->unit; at++) {
		struct cell *cell = &model->cells[at];

		for (uint32_t i = 0; i < cell->count; i++)
			if (cell->dead[i] == 0 && completed(model, cell->version[i], op->started))
				cell->dead[i] = op->ended;
	}
}

static int is_anything(const struct model *model, uint32_t version)
{
	return model->discard_rule == DISCARD_ANYTHING && version >= FIRST_OP &&
	       model->log->ops[version].kind == DISCARD;
}

/* Whether some candidate that the read may see explains these bytes; -1: none, else which. */
static int explained(const struct model *model, const struct cell *cell, uint32_t started, uint64_t offset,
		     const unsigned char *bytes, uint32_t length)
{
	for (uint32_t i = 0; i < cell->count; i++) {
		if (is_dead(cell, i, started))
			continue;
		if (is_anything(model, cell->version[i]) || holds(model, cell->version[i], offset, bytes, length))
			return i;
	}
	return -1;
}

/* Whether each byte is of some candidate: a copy that a write overtakes may be cut anywhere, inside a word, too. */
static int is_mixture(const struct model *model, const struct cell *cell, uint32_t started, uint64_t offset,
		      const unsigned char *bytes, uint32_t length)
{
	for (uint32_t at = 0; at < length; at++)
		if (explained(model, cell, started, offset + at, bytes + at, 1) < 0)
			return 0;
	return 1;
}

static void describe(const struct model *model, const struct cell *cell, uint32_t started, uint64_t offset,
		     const unsigned char *bytes, struct mismatch *mismatch)
{
	uint32_t at = 0, piece = model->unit < WORD ? model->unit : WORD;

	mismatch->torn = 1;
	for (uint32_t i = 0; i < cell->count; i++)
		if (!is_dead(cell, i, started))
			mismatch->expected = cell->version[i];
	/* The first word that no candidate explains; when there is none, the first that is not the newest's. */
	for (uint32_t word = 0; word < model->unit; word += piece) {
		if (explained(model, cell, started, offset + word, bytes + word, piece) >= 0)
			continue;
		at = word;
		mismatch->torn = 0;
		break;
	}
	while (mismatch->torn && at + piece < model->unit &&
	       holds(model, mismatch->expected, offset + at, bytes + at, piece))
		at += piece;
	mismatch->offset = offset + at;
	mismatch->length = model->unit - at;
	content_fill(model, mismatch->expected, offset + at, mismatch->want, piece);
	memcpy(mismatch->got, bytes + at, piece);
}

static int check_cell(struct model *model, struct cell *cell, const struct op *op, uint64_t offset,
		      const unsigned char *bytes)
{
	uint32_t piece = model->unit < WORD ? model->unit : WORD;
	int quiet = 1, seen;

	for (uint32_t i = 0; i < cell->count; i++)
		if (!is_dead(cell, i, op->started) && !completed(model, cell->version[i], op->started))
			quiet = 0;
	if (!quiet) {
		for (uint32_t at = 0; at < model->unit; at += piece)
			if (explained(model, cell, op->started, offset + at, bytes + at, piece) < 0 &&
			    !is_mixture(model, cell, op->started, offset + at, bytes + at, piece))
				return 0;
		return 1;
	}
	seen = explained(model, cell, op->started, offset, bytes, model->unit);
	if (seen < 0)
		return 0;
	for (uint32_t i = 0; i < cell->count && !is_anything(model, cell->version[seen]); i++)
		if (i != (uint32_t)seen && cell->dead[i] == 0)
			cell->dead[i] = op->ended;
	return 1;
}

int model_check(struct model *model, uint32_t number, const unsigned char *bytes, struct mismatch *mismatch)
{
	const struct op *op = &model->log->ops[number];

	for (uint32_t at = 0; at < op->length; at += model->unit) {
		struct cell *cell = &model->cells[(op->offset + at) / model->unit];

		if (check_cell(model, cell, op, op->offset + at, bytes + at))
			continue;
		describe(model, cell, op->started, op->offset + at, bytes + at, mismatch);
		return 0;
	}
	return 1;
}
