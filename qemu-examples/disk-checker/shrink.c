/* Delta debugging over operations: ever smaller parts are left out, as long as what remains still fails. */
#include "shrink.h"
#include <string.h>
#include "stop.h"

static int fails(struct play *play, const uint32_t *numbers, uint32_t count)
{
	return count > 0 && !play_again(play, numbers, count);
}

uint32_t shrink(struct play *play, uint32_t *numbers, uint32_t count, double seconds)
{
	double ends = seconds_now() + seconds;
	uint32_t *fewer = malloc(count * sizeof(*fewer));

	if (!fewer)
		stop(EXIT_CANNOT_RUN, "no memory to shrink a log");
	if (!fails(play, numbers, count)) {
		free(fewer);
		return 0;
	}
	for (uint32_t part = (count + 1) / 2; part > 0; part = part == 1 ? 0 : (part + 1) / 2) {
		for (uint32_t from = 0; from < count && seconds_now() < ends;) {
			uint32_t left_out = part < count - from ? part : count - from, kept = count - left_out;

			memcpy(fewer, numbers, from * sizeof(*fewer));
			memcpy(fewer + from, numbers + from + left_out, (kept - from) * sizeof(*fewer));
			if (!fails(play, fewer, kept)) {
				from += part;
				continue;
			}
			memcpy(numbers, fewer, kept * sizeof(*fewer));
			count = kept;
		}
	}
	free(fewer);
	return count;
}
