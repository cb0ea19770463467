/*
 * Plays operations against a target and its model: drawn at random by several threads at once, or out of a log, one
 * after the other. The first thing that is wrong ends the play.
 */
#ifndef PLAY_H
#define PLAY_H
#include <pthread.h>
#include "model.h"
#include "target.h"

#define LANES_MAX 64

struct failure {
	int is_one;
	uint32_t number; /* of the operation that found it */
	int error; /* it failed with -errno, or 0: it brought wrong bytes */
	struct mismatch mismatch;
};

struct lane {
	struct play *play;
	uint64_t random;
	uint32_t index, now; /* now: the operation in flight, 0: none */
	uint32_t left; /* operations to go in this round */
	double began; /* when it started, in seconds */
	pthread_t thread;
};

struct play {
	struct target *target;
	struct op_log *log;
	struct model model;
	struct lane lanes[LANES_MAX];
	uint32_t lane_count, clock, length_max;
	int overlap, direct;
	double ends, timeout; /* seconds; ends: no new operation later, 0: never */
	const char *waits_for; /* see play_waits_for */
	double waits_since;
	pthread_mutex_t lock;
	struct failure failure;
};

double seconds_now(void);
/* From now on what is not answered for `timeout` seconds ends the program with a line. Before anything else of these. */
void play_watch(struct play *play, double timeout);
/* What the main thread waits for besides operations of the log; NULL: nothing. */
void play_waits_for(struct play *play, const char *what);
void play_init(struct play *play, struct target *target, struct op_log *log, uint64_t seed);
/* Gives the region content that is known: parts of it zeroes, parts of it not. */
void play_fill(struct play *play);
/* `ops` operations on each lane, all lanes at once, then everything is read back. False: play->failure says why. */
int play_round(struct play *play, uint32_t ops, int direct);
/* The operations `numbers` of the log, in that order, and a reading of what they touched. */
int play_again(struct play *play, const uint32_t *numbers, uint32_t count);

#endif
