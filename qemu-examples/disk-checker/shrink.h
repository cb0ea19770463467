/* The fewest operations of a log that still fail when they are played again one after the other. */
#ifndef SHRINK_H
#define SHRINK_H
#include "play.h"

/* `numbers`: the operations to begin with, cut down in place; how many are left, 0: they do not fail in this way. */
uint32_t shrink(struct play *play, uint32_t *numbers, uint32_t count, double seconds);

#endif
