/* What is said at the end: one line that says what is wrong and where, the operations that touched it, the fewest that fail. */
#ifndef REPORT_H
#define REPORT_H
#include "play.h"

/* *offset: where something is wrong. */
void report(const struct play *play, uint64_t *offset);
void report_smallest(struct play *play, double seconds, uint64_t offset);
void report_totals(const struct play *play, double seconds);

#endif
