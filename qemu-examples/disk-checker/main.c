/*
 * disk-checker: random operations from several threads against a block device or a file, each byte that is read checked
 * against what it may legally be. Everything in the region is overwritten. See --help.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include "play.h"
#include "report.h"
#include "settings.h"
#include "stop.h"

#define REGION_MOST (32ull << 20)
#define BYTES_REGION_MOST (512ull << 10)

static int play_all(struct play *play, const struct settings *settings)
{
	uint32_t *numbers;

	if (!settings->replay) {
		play_fill(play);
		for (uint32_t round = 0; round < settings->rounds; round++) {
			int direct = play->target->io == IO_BOTH ? round % 2 == 0 : play->target->io == IO_DIRECT;
			uint32_t ops = settings->ops / settings->rounds + 1;

			if (play->ends > 0)
				play->ends = seconds_now() + settings->seconds / settings->rounds;
			if (!play_round(play, ops, direct))
				return 0;
		}
		return 1;
	}
	numbers = malloc(play->log->count * sizeof(*numbers));
	if (!numbers)
		stop(EXIT_CANNOT_RUN, "no memory for a replay");
	for (uint32_t i = FIRST_OP; i < play->log->count; i++) {
		struct op *op = &play->log->ops[i];

		numbers[i - FIRST_OP] = i;
		if (op->offset + op->length > play->target->size || op->offset % play->target->unit ||
		    op->length % play->target->unit || op->length > play->length_max)
			stop(EXIT_CANNOT_RUN, "#%u of the log does not fit this region", i);
	}
	return play_again(play, numbers, play->log->count - FIRST_OP);
}

int main(int argc, char **argv)
{
	struct settings settings = { .threads = 4, .rounds = 4, .timeout = 120, .shrink_seconds = 20, .overlap = 1,
				     .discard = DISCARD_OLD_OR_ZEROES, .seed = time(NULL) };
	static struct target target = { .io = IO_BOTH };
	static struct op_log log;
	static struct play play;
	double began = seconds_now();
	uint64_t offset;

	setvbuf(stdout, NULL, _IOLBF, 0);
	settings_parse(argc, argv, &settings, &target);
	op_log_init(&log, LOG_MOST);
	if (settings.replay)
		settings.seed = op_log_read(&log, settings.replay);
	play_watch(&play, settings.timeout);
	play_waits_for(&play, "opening it");
	target_open(&target, target.io == IO_BUFFERED && target.unit < 512 ? BYTES_REGION_MOST : REGION_MOST);
	play_waits_for(&play, NULL);
	settings_complete(&settings, &target);
	play_init(&play, &target, &log, settings.seed);
	play.model.discard_rule = settings.discard;
	play.lane_count = settings.threads;
	spoil_one_in(settings.spoil, settings.spoil_one_in, target.unit);
	play.length_max = settings.length;
	play.overlap = settings.overlap;
	play.ends = settings.seconds > 0 ? 1 : 0;
	for (uint32_t i = 0; i < settings.threads; i++)
		play.lanes[i].random = (settings.seed * 64 + i + 1) * 0x9e3779b97f4a7c15ull | 1;
	printf("disk-checker: %s: %" PRIu64 " bytes from %" PRIu64 ", unit %u, %u threads, seed %" PRIu64 "\n",
	       target.path, target.size, target.start, target.unit, settings.threads, settings.seed);
	if (play_all(&play, &settings)) {
		report_totals(&play, seconds_now() - began);
		return 0;
	}
	report(&play, &offset);
	if (settings.log)
		op_log_write(&log, settings.log, settings.seed);
	report_smallest(&play, settings.shrink_seconds, offset);
	return EXIT_DISK_WRONG;
}
