/* What the command line says. */
#ifndef SETTINGS_H
#define SETTINGS_H
#include "model.h"
#include "spoil.h"

struct settings {
	uint64_t seed, size, offset;
	uint32_t ops, threads, rounds, length, spoil_one_in;
	double seconds, timeout, shrink_seconds;
	int overlap;
	enum discard_rule discard;
	enum spoil spoil;
	const char *log, *replay;
};

/* Stops, with a line that says what was expected, when it is not understood; --help ends the program. */
void settings_parse(int argc, char **argv, struct settings *settings, struct target *target);
/* What is left open, and what only an opened target shows to be wrong. */
void settings_complete(struct settings *settings, const struct target *target);

#endif
