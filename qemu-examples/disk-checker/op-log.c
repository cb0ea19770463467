/* The log of operations: one line for each, in the same form on the terminal and in a file that can be replayed. */
#include "op-log.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "stop.h"

const char *const kind_names[KINDS] = { "read", "write", "zero", "punch", "discard", "flush" };

void op_log_init(struct op_log *log, uint32_t room)
{
	log->room = room;
	log->count = FIRST_OP;
	/* One more for reading back when it is full. Pages that are never used cost nothing. */
	log->ops = calloc(room + 1, sizeof(*log->ops));
	if (!log->ops)
		stop(EXIT_CANNOT_RUN, "no memory for a log of %u operations", room);
}

void op_print(FILE *to, uint32_t number, const struct op *op)
{
	fprintf(to, "#%u thread %u %s offset %" PRIu64 " length %u pieces %u %s started %u ended %u\n", number,
		op->lane, kind_names[op->kind], op->offset, op->length, op->pieces,
		op->direct ? "direct" : "buffered", op->started, op->ended);
}

void op_log_write(const struct op_log *log, const char *path, uint64_t seed)
{
	FILE *to = fopen(path, "w");

	if (!to) {
		fprintf(stderr, "disk-checker: cannot write the log to %s\n", path);
		return;
	}
	fprintf(to, "disk-checker log 1 seed %" PRIu64 "\n", seed);
	for (uint32_t number = FIRST_OP; number < log->count; number++)
		op_print(to, number, &log->ops[number]);
	fclose(to);
}

static int kind_of(const char *name)
{
	for (int kind = 0; kind < KINDS; kind++)
		if (strcmp(name, kind_names[kind]) == 0)
			return kind;
	return -1;
}

uint64_t op_log_read(struct op_log *log, const char *path)
{
	FILE *from = fopen(path, "r");
	uint64_t seed;
	char line[256];

	if (!from)
		stop(EXIT_CANNOT_RUN, "cannot read %s", path);
	if (!fgets(line, sizeof(line), from) || sscanf(line, "disk-checker log 1 seed %" SCNu64, &seed) != 1)
		stop(EXIT_CANNOT_RUN, "%s is no log of disk-checker", path);
	for (int at = 2; fgets(line, sizeof(line), from); at++) {
		uint32_t number, lane, pieces;
		char kind[16], io[16];
		struct op op = { 0 };

		int fields = sscanf(line,
				    "#%u thread %u %15s offset %" SCNu64 " length %u pieces %u %15s started %u ended %u",
				    &number, &lane, kind, &op.offset, &op.length, &pieces, io, &op.started, &op.ended);
		if (fields != 9 || kind_of(kind) < 0 || number < log->count || number >= log->room)
			stop(EXIT_CANNOT_RUN, "%s:%d is no operation", path, at);
		op.kind = kind_of(kind);
		op.lane = lane;
		op.pieces = pieces;
		op.direct = strcmp(io, "direct") == 0;
		/* Numbers may be missing, in a log that was cut by hand. They become flushes, which change nothing. */
		while (log->count < number)
			log->ops[log->count++].kind = FLUSH;
		log->ops[log->count++] = op;
	}
	fclose(from);
	return seed;
}
