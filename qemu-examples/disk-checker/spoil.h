/*
 * A disk that is wrong on purpose, to see that the checker finds it: between the checker and its target, one in
 * so many operations of a kind goes wrong and is said to have gone well.
 */
#ifndef SPOIL_H
#define SPOIL_H
#include "target.h"

enum spoil { SPOIL_NOTHING, SPOIL_LOST, SPOIL_TORN, SPOIL_MISPLACED, SPOIL_LATE, SPOIL_STALE, SPOIL_NOT_ZEROED };

/* In the order of the numbers. */
#define SPOIL_WORDS "nothing|lost|torn|misplaced|late|stale|not-zeroed"

void spoil_one_in(enum spoil spoil, uint32_t every, uint32_t unit);
/* target_do, spoiled or not. */
int spoil_do(const struct target *target, const struct op *op, unsigned char *buffer);

#endif
