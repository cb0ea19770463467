/* The command line of disk-checker. Its words and the exit statuses are an interface: scripts depend on them. */
#include "settings.h"
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include "play.h"
#include "stop.h"

static const char usage[] =
	"Usage: disk-checker [option...] DEVICE|FILE\n"
	"Writes, reads, zeroes, discards and flushes at random, several threads at once, and checks every byte it reads.\n"
	"EVERYTHING IN THE REGION IS OVERWRITTEN. A file is made when it is not there.\n"
	"  --seed=N            repeats what was drawn; by default from the clock, and printed\n"
	"  --ops=N             operations of each thread (5000)\n"
	"  --seconds=S         stop after so many seconds, whatever --ops says; without --ops no other limit\n"
	"  --threads=N         1 to 64 (4)\n"
	"  --io=direct|buffered|both   both: rounds of each in turn (both)\n"
	"  --rounds=N          after each round all is flushed, caches are dropped, and the region is read back (4)\n"
	"  --offset=BYTES      where the region begins (0); suffixes K, M, G\n"
	"  --size=BYTES        of the region (all of it, at most 32M; with units below 512 at most 512K; a new file: 16M)\n"
	"  --unit=BYTES        what lengths and places are multiples of (the logical block; 1 with --io=buffered)\n"
	"  --length=BYTES      longest operation (256K; with units below 512 64K)\n"
	"  --no-overlap        requests in flight never touch the same bytes when one of them writes\n"
	"  --discard=zeroes|old-or-zeroes|anything|off   what a discarded block may hold (old-or-zeroes)\n"
	"  --without=KINDS     leaves out kinds of operations: zero, punch, discard, flush, with commas\n"
	"  --timeout=S         an operation that takes longer is a failure (120)\n"
	"  --log=FILE          where the log of all operations goes when something is wrong\n"
	"  --shrink-seconds=S  time to look for the fewest operations that fail when replayed (20; 0: not at all)\n"
	"  --replay=FILE       plays a log again, one operation after the other, instead of drawing at random\n"
	"  --spoil=KIND:N      to see that errors are found: one operation in N of its kind goes wrong, as on a broken disk;\n"
	"                      lost, torn, misplaced, late, stale (writes, old data read), not-zeroed (zero, punch)\n"
	"Exit status: 0 all was right, 1 something was wrong (one line MISMATCH or FAILED on stderr, then the operations\n"
	"that touched the place), 2 it could not be tested.\n";

static uint64_t number_of(const char *name, const char *text, uint64_t most)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (*end == 'K' || *end == 'M' || *end == 'G')
		value <<= *end == 'K' ? 10 : *end == 'M' ? 20 : 30, end++;
	if (*text < '0' || *text > '9' || *end || value > most)
		stop(EXIT_CANNOT_RUN, "--%s=%s: expected a number up to %" PRIu64, name, text, most);
	return value;
}

static int word_of(const char *name, const char *text, const char *words)
{
	char copy[96] = "", *rest = copy;

	strncpy(copy, words, sizeof(copy) - 1);
	for (int index = 0; rest; index++)
		if (strcmp(strsep(&rest, "|"), text) == 0)
			return index;
	stop(EXIT_CANNOT_RUN, "--%s=%s: expected %s", name, text, words);
}

static void leave_out(struct target *target, char *kinds)
{
	for (char *name; (name = strsep(&kinds, ","));)
		target->can[word_of("without", name, "read|write|zero|punch|discard|flush")] = 0;
	if (!target->can[READ] || !target->can[WRITE])
		stop(EXIT_CANNOT_RUN, "reads and writes cannot be left out");
}

static void parse_spoil(struct settings *settings, char *text)
{
	char *kind = strsep(&text, ":");

	settings->spoil = word_of("spoil", kind, SPOIL_WORDS);
	settings->spoil_one_in = text ? number_of("spoil", text, UINT32_MAX) : 0;
	if (settings->spoil_one_in == 0)
		stop(EXIT_CANNOT_RUN, "--spoil=%s: expected KIND:N with N of 1 or more", kind);
}

static const struct option options[] = {
	{ "seed", 1, 0, 's' }, { "ops", 1, 0, 'o' }, { "seconds", 1, 0, 'S' }, { "threads", 1, 0, 't' },
	{ "io", 1, 0, 'i' }, { "rounds", 1, 0, 'r' }, { "offset", 1, 0, 'O' }, { "size", 1, 0, 'z' },
	{ "unit", 1, 0, 'u' }, { "length", 1, 0, 'l' }, { "no-overlap", 0, 0, 'n' }, { "discard", 1, 0, 'd' },
	{ "without", 1, 0, 'w' }, { "timeout", 1, 0, 'T' }, { "log", 1, 0, 'L' }, { "shrink-seconds", 1, 0, 'k' },
	{ "replay", 1, 0, 'R' }, { "spoil", 1, 0, 'b' }, { "help", 0, 0, 'h' }, { 0 },
};

void settings_parse(int argc, char **argv, struct settings *settings, struct target *target)
{
	static const enum io io_of[] = { IO_DIRECT, IO_BUFFERED, IO_BOTH };
	int letter, index = 0;

	for (int kind = 0; kind < KINDS; kind++)
		target->can[kind] = 1;
	while ((letter = getopt_long(argc, argv, "h", options, &index)) != -1) {
		const char *name = options[index].name;

		switch (letter) {
		case 's': settings->seed = number_of(name, optarg, UINT64_MAX); break;
		case 'o': settings->ops = number_of(name, optarg, LOG_MOST); break;
		case 'S': settings->seconds = number_of(name, optarg, 1 << 20); break;
		case 't': settings->threads = number_of(name, optarg, LANES_MAX); break;
		case 'i': target->io = io_of[word_of(name, optarg, "direct|buffered|both")]; break;
		case 'r': settings->rounds = number_of(name, optarg, 1 << 20); break;
		case 'O': target->start = number_of(name, optarg, INT64_MAX); break;
		case 'z': target->size = number_of(name, optarg, 1ull << 40); break;
		case 'u': target->unit = number_of(name, optarg, 1 << 20); break;
		case 'l': settings->length = number_of(name, optarg, 16 << 20); break;
		case 'n': settings->overlap = 0; break;
		case 'd':
			letter = word_of(name, optarg, "zeroes|old-or-zeroes|anything|off");
			target->can[DISCARD] &= letter < 3;
			settings->discard = letter < 3 ? letter : DISCARD_ZEROES;
			break;
		case 'w': leave_out(target, optarg); break;
		case 'T': settings->timeout = number_of(name, optarg, 1 << 20); break;
		case 'L': settings->log = optarg; break;
		case 'k': settings->shrink_seconds = number_of(name, optarg, 1 << 20); break;
		case 'R': settings->replay = optarg; break;
		case 'b': parse_spoil(settings, optarg); break;
		case 'h': fputs(usage, stdout); exit(0);
		default: exit(EXIT_CANNOT_RUN);
		}
	}
	if (argc - optind != 1)
		stop(EXIT_CANNOT_RUN, "expected one device or file (--help)");
	target->path = argv[optind];
}

void settings_complete(struct settings *settings, const struct target *target)
{
	if (settings->threads == 0 || settings->rounds == 0)
		stop(EXIT_CANNOT_RUN, "--threads and --rounds have to be 1 or more");
	if (target->unit == 0 || target->unit % (target->io == IO_BUFFERED ? 1 : target->block_size))
		stop(EXIT_CANNOT_RUN, "--unit=%u: direct I/O here needs multiples of %u", target->unit,
		     target->block_size);
	if (target->unit >= 512 && target->unit % 8)
		stop(EXIT_CANNOT_RUN, "--unit=%u: expected less than 512 or a multiple of 8", target->unit);
	if (settings->length == 0)
		settings->length = target->unit < 512 ? 64 << 10 : 256 << 10;
	if (settings->length < target->unit || target->size < target->unit * 8 || target->size < 8 * 4096)
		stop(EXIT_CANNOT_RUN, "a region of %" PRIu64 " bytes is too small", target->size);
	if (settings->ops == 0)
		settings->ops = settings->seconds > 0 ? LOG_MOST / settings->threads : 5000;
}
