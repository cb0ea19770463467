/* What disk-checker says at the end. See report.h. */
#include "report.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "shrink.h"

#define TOUCHED_SHOWN 8
#define SMALLEST_SHOWN 30

static const char *source_of(const struct model *model, const struct mismatch *mismatch, char *text, size_t room)
{
	static const unsigned char zeroes[WORD];
	uint32_t version;
	uint64_t meant_for;

	if (mismatch->torn)
		snprintf(text, room, "a block of several writes");
	else if (model->unit >= WORD && memcmp(mismatch->got, zeroes, WORD) == 0)
		snprintf(text, room, "zeroes");
	else if (model->unit < WORD)
		snprintf(text, room, "another byte");
	else if (!content_find(model, mismatch->got, mismatch->offset, &version, &meant_for))
		snprintf(text, room, "bytes that this run has not written");
	else if (version == VERSION_INITIAL)
		snprintf(text, room, "what was there first");
	else if (meant_for == mismatch->offset)
		snprintf(text, room, "the data of #%u", version);
	else
		snprintf(text, room, "the data of #%u for offset %" PRIu64, version, meant_for);
	return text;
}

static void print_bytes(const unsigned char *bytes, uint32_t count)
{
	fputs(" (", stderr);
	for (uint32_t i = 0; i < count; i++)
		fprintf(stderr, "%s%02x", i ? " " : "", bytes[i]);
	fputs(")", stderr);
}

/* The one line that says what is wrong, and the operations that touched the place last. */
void report(const struct play *play, uint64_t *offset)
{
	const struct failure *failure = &play->failure;
	const struct op *op = &play->log->ops[failure->number];
	uint32_t shown = play->model.unit < WORD ? play->model.unit : WORD, numbers[TOUCHED_SHOWN], count = 0;
	const struct mismatch *mismatch = &failure->mismatch;
	char text[100];

	*offset = failure->error ? op->offset : mismatch->offset;
	if (failure->error) {
		fprintf(stderr, "disk-checker: FAILED: #%u %s at offset %" PRIu64 ", %u bytes: %s", failure->number,
			kind_names[op->kind], op->offset, op->length, strerror(failure->error));
	} else {
		fprintf(stderr, "disk-checker: MISMATCH at offset %" PRIu64 ": expected ", *offset);
		if (mismatch->expected < FIRST_OP)
			fputs(mismatch->expected == VERSION_ZEROES ? "zeroes" : "what was there first", stderr);
		else
			fprintf(stderr, "%s #%u",
				play->log->ops[mismatch->expected].kind == WRITE ? "the data of" : "the zeroes of",
				mismatch->expected);
		print_bytes(mismatch->want, shown);
		fprintf(stderr, ", #%u got %s", failure->number,
			source_of(&play->model, mismatch, text, sizeof(text)));
		print_bytes(mismatch->got, shown);
	}
	fprintf(stderr, " (seed %" PRIu64 ")\n", play->model.seed);
	for (uint32_t number = play->log->count; number-- > FIRST_OP && count < TOUCHED_SHOWN;)
		if (touches(&play->log->ops[number], *offset, 1))
			numbers[count++] = number;
	fputs("the last operations that touched it:\n", stderr);
	while (count-- > 0)
		op_print(stderr, numbers[count], &play->log->ops[numbers[count]]);
}

void report_smallest(struct play *play, double seconds, uint64_t offset)
{
	uint32_t *numbers = malloc(play->log->count * sizeof(*numbers)), last = play->failure.number, count = 0, left;

	if (!numbers || seconds == 0)
		return;
	/* Those that touched the place are enough mostly; when they are not, all that came before. */
	for (uint32_t number = FIRST_OP; number <= last; number++)
		if (touches(&play->log->ops[number], offset, 1) || play->log->ops[number].kind == FLUSH)
			numbers[count++] = number;
	left = shrink(play, numbers, count, seconds);
	if (left == 0) {
		for (count = 0; FIRST_OP + count <= last; count++)
			numbers[count] = FIRST_OP + count;
		left = shrink(play, numbers, count, seconds);
	}
	if (left == 0)
		fputs("replayed one after the other it does not fail: it takes several at a time, or chance\n", stderr);
	else
		fprintf(stderr, "the fewest found that fail when replayed one after the other, %u of %u:\n", left,
			play->log->count - FIRST_OP);
	for (uint32_t i = left > SMALLEST_SHOWN ? left - SMALLEST_SHOWN : 0; i < left; i++)
		op_print(stderr, numbers[i], &play->log->ops[numbers[i]]);
	free(numbers);
}

void report_totals(const struct play *play, double seconds)
{
	uint64_t counts[KINDS] = { 0 }, bytes = 0;

	for (uint32_t number = FIRST_OP; number < play->log->count; number++) {
		counts[play->log->ops[number].kind]++;
		if (play->log->ops[number].kind == READ)
			bytes += play->log->ops[number].length;
	}
	printf("disk-checker: ok: %u operations", play->log->count - FIRST_OP);
	for (int kind = 0; kind < KINDS; kind++)
		printf(", %" PRIu64 " %s", counts[kind], kind_names[kind]);
	printf("; %" PRIu64 " MiB checked in %.1f s, seed %" PRIu64 "\n", bytes >> 20, seconds, play->model.seed);
}
