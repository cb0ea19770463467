/* Plays operations and checks them against the model. See play.h; what is drawn at random is in draw.c. */
#define _GNU_SOURCE
#include "play.h"
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "draw.h"
#include "spoil.h"
#include "stop.h"

#define FILL_BYTES (64 << 10)

double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Ends the program when something has not been answered for too long, because nothing can take it back. */
static void *watch(void *argument)
{
	struct play *play = argument;

	for (;; sleep(1)) {
		pthread_mutex_lock(&play->lock);
		double late = seconds_now() - play->timeout;

		for (uint32_t i = 0; i < play->lane_count; i++) {
			uint32_t now = play->lanes[i].now;

			if (!now || play->lanes[i].began > late)
				continue;
			op_print(stderr, now, &play->log->ops[now]);
			fprintf(stderr, "disk-checker: FAILED: #%u has not been answered for %.0f s\n", now,
				play->timeout);
			_exit(EXIT_DISK_WRONG);
		}
		if (play->waits_for && play->waits_since <= late) {
			fprintf(stderr, "disk-checker: FAILED: %s has not been answered for %.0f s\n",
				play->waits_for, play->timeout);
			_exit(EXIT_DISK_WRONG);
		}
		pthread_mutex_unlock(&play->lock);
	}
	return NULL;
}

void play_waits_for(struct play *play, const char *what)
{
	pthread_mutex_lock(&play->lock);
	play->waits_for = what;
	play->waits_since = seconds_now();
	pthread_mutex_unlock(&play->lock);
}

void play_watch(struct play *play, double timeout)
{
	pthread_t watcher;

	play->timeout = timeout;
	pthread_mutex_init(&play->lock, NULL);
	if (pthread_create(&watcher, NULL, watch, play))
		stop(EXIT_CANNOT_RUN, "cannot start a thread");
}

void play_init(struct play *play, struct target *target, struct op_log *log, uint64_t seed)
{
	play->target = target;
	play->log = log;
	play->clock = 1;
	model_init(&play->model, log, seed, target->size, target->unit);
}

/* Everything is on the disk, and the next reads come from there. */
static void forget(struct play *play)
{
	play_waits_for(play, "fsync");
	target_forget(play->target);
	play_waits_for(play, NULL);
}

static void must_do(struct play *play, const struct op *op, unsigned char *buffer)
{
	play_waits_for(play, "an operation before the test");
	int result = target_do(play->target, op, buffer);

	play_waits_for(play, NULL);
	if (result < 0)
		stop(EXIT_DISK_WRONG, "FAILED before the test: %s at offset %llu, %u bytes: %s", kind_names[op->kind],
		     (unsigned long long)op->offset, op->length, strerror(-result));
}

/* Writes a range that no operation is on. */
static void put(struct play *play, uint64_t offset, uint32_t length, uint32_t version, unsigned char *buffer)
{
	struct op op = { .kind = WRITE, .offset = offset, .length = length, .pieces = 1,
			 .direct = play->target->io != IO_BUFFERED };

	content_fill(&play->model, version, offset, buffer, length);
	must_do(play, &op, buffer);
	model_set(&play->model, offset, length, version);
}

void play_fill(struct play *play)
{
	unsigned char *buffer = target_buffer(FILL_BYTES);
	uint64_t size = play->target->size, chunk = 0;

	for (uint64_t at = 0; at < size; at += FILL_BYTES, chunk++) {
		uint32_t length = size - at < FILL_BYTES ? size - at : FILL_BYTES;
		struct op punch = { .kind = PUNCH, .offset = at, .length = length,
				    .direct = play->target->io != IO_BUFFERED };

		if (chunk % 3 != 0 || !play->target->can[PUNCH]) {
			put(play, at, length, chunk % 3 ? VERSION_INITIAL : VERSION_ZEROES, buffer);
			continue;
		}
		must_do(play, &punch, NULL);
		model_set(&play->model, at, length, VERSION_ZEROES);
	}
	free(buffer);
	forget(play);
}

/* The start of the oldest operation in flight: what no read can see any more may be forgotten. */
static uint32_t horizon(const struct play *play)
{
	uint32_t oldest = play->clock;

	for (uint32_t i = 0; i < play->lane_count; i++) {
		uint32_t now = play->lanes[i].now;

		if (now && play->log->ops[now].started < oldest)
			oldest = play->log->ops[now].started;
	}
	return oldest;
}

/* Takes up an operation if nothing that is in flight forbids it; its number or 0. */
static uint32_t begin(struct play *play, struct lane *lane, const struct op *op)
{
	uint32_t number = 0;

	pthread_mutex_lock(&play->lock);
	if (play->log->count < play->log->room && !play->failure.is_one && !draw_conflicts(play, lane, op) &&
	    (!changes(op) || model_has_room(&play->model, op->offset, op->length, horizon(play)))) {
		number = play->log->count++;
		play->log->ops[number] = *op;
		play->log->ops[number].started = play->clock++;
		play->log->ops[number].ended = 0;
		if (changes(op))
			model_begin(&play->model, number);
		lane->began = seconds_now();
		lane->now = number;
	}
	pthread_mutex_unlock(&play->lock);
	return number;
}

static void end(struct play *play, struct lane *lane, uint32_t number, int result, const unsigned char *buffer)
{
	struct op *op = &play->log->ops[number];
	struct failure failure = { .number = number, .error = result < 0 ? -result : 0 };

	pthread_mutex_lock(&play->lock);
	op->ended = play->clock++;
	lane->now = 0;
	failure.is_one = result < 0;
	if (result == 0 && op->kind == READ)
		failure.is_one = !model_check(&play->model, number, buffer, &failure.mismatch);
	else if (result == 0 && changes(op))
		model_end(&play->model, number);
	if (failure.is_one && !play->failure.is_one)
		play->failure = failure;
	pthread_mutex_unlock(&play->lock);
}

static int step(struct play *play, struct lane *lane, const struct op *op, unsigned char *buffer)
{
	uint32_t number = begin(play, lane, op);

	if (!number)
		return 0;
	if (op->kind == WRITE)
		content_fill(&play->model, number, op->offset, buffer, op->length);
	else if (op->kind == READ)
		memset(buffer, 0xdd, op->length);
	end(play, lane, number, spoil_do(play->target, op, buffer), buffer);
	return 1;
}

static void *run_lane(void *argument)
{
	struct lane *lane = argument;
	struct play *play = lane->play;
	unsigned char *buffer = target_buffer(play->length_max);

	while (lane->left > 0 && !play->failure.is_one && play->log->count < play->log->room &&
	       (play->ends == 0 || seconds_now() < play->ends)) {
		/* Data at any place in memory that direct I/O allows, or at any byte. */
		uint32_t skew = play->direct ? lane->random / 7 % 8 * 512 : lane->random / 7 % 4096;
		struct op op = draw(play, lane);

		if (step(play, lane, &op, buffer + skew))
			lane->left--;
	}
	free(buffer);
	return NULL;
}

static int read_back(struct play *play, uint64_t offset, uint64_t length)
{
	uint32_t most = FILL_BYTES;
	unsigned char *buffer = target_buffer(most);
	struct lane *lane = &play->lanes[0];

	for (uint64_t at = offset; at < offset + length && !play->failure.is_one; at += most) {
		uint64_t left = offset + length - at;
		struct op op = { .kind = READ, .offset = at, .length = left < most ? left : most, .pieces = 1,
				 .direct = play->target->io != IO_BUFFERED };

		/* Its number is free again after a reading that was right: the log has one more place than room, for this. */
		play->log->room++;
		if (!step(play, lane, &op, buffer))
			stop(EXIT_CANNOT_RUN, "the log is full");
		play->log->room--;
		if (!play->failure.is_one)
			play->log->count--;
	}
	free(buffer);
	return !play->failure.is_one;
}

int play_round(struct play *play, uint32_t ops, int direct)
{
	play->direct = direct;
	for (uint32_t i = 0; i < play->lane_count; i++) {
		struct lane *lane = &play->lanes[i];

		lane->play = play;
		lane->index = i;
		lane->left = ops;
		if (pthread_create(&lane->thread, NULL, run_lane, lane))
			stop(EXIT_CANNOT_RUN, "cannot start a thread");
	}
	for (uint32_t i = 0; i < play->lane_count; i++)
		pthread_join(play->lanes[i].thread, NULL);
	if (play->failure.is_one)
		return 0;
	if (play->log->count >= play->log->room)
		fprintf(stderr, "disk-checker: the log is full after %u operations, the rest is left out\n",
			play->log->count);
	forget(play);
	return read_back(play, 0, play->target->size);
}

int play_again(struct play *play, const uint32_t *numbers, uint32_t count)
{
	unsigned char *buffer = target_buffer(play->length_max > FILL_BYTES ? play->length_max : FILL_BYTES);
	struct op_log *log = play->log;
	uint32_t before = log->count;

	play->failure = (struct failure){ 0 };
	for (uint32_t i = 0; i < count; i++) {
		struct op *op = &log->ops[numbers[i]];

		if (op->kind != FLUSH)
			put(play, op->offset, op->length, VERSION_INITIAL, buffer);
	}
	forget(play);
	for (uint32_t i = 0; i < count && !play->failure.is_one; i++) {
		struct op *op = &log->ops[numbers[i]];

		op->started = play->clock++;
		op->ended = 0;
		if (changes(op) && !model_has_room(&play->model, op->offset, op->length, play->clock))
			continue;
		play->lanes[0].began = seconds_now();
		play->lanes[0].now = numbers[i];
		if (changes(op))
			model_begin(&play->model, numbers[i]);
		if (op->kind == WRITE)
			content_fill(&play->model, numbers[i], op->offset, buffer, op->length);
		end(play, &play->lanes[0], numbers[i], spoil_do(play->target, op, buffer), buffer);
	}
	forget(play);
	for (uint32_t i = 0; i < count && !play->failure.is_one; i++)
		if (log->ops[numbers[i]].kind != FLUSH)
			read_back(play, log->ops[numbers[i]].offset, log->ops[numbers[i]].length);
	log->count = before;
	free(buffer);
	return !play->failure.is_one;
}
