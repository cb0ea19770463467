/*
 * What blkio-load.c writes when it verifies: each 8-byte word is a function of its place on the disk and of the
 * generation of its block, so a wrong byte, a block in the wrong place and a lost write all show.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t stamp_of(uint64_t offset, uint32_t generation)
{
	/* An odd factor loses nothing; it spreads the few bits that differ. */
	return (offset + 1 + ((uint64_t)generation << 40)) * 0x9e3779b97f4a7c15ull;
}

static void write_stamps(void *buffer, uint64_t offset, uint64_t size, uint32_t generation)
{
	uint64_t *words = buffer;

	for (uint64_t at = 0; at < size; at += 8)
		words[at / 8] = stamp_of(offset + at, generation);
}

/* Ends the program at the first wrong word. */
static void check_stamps(const void *buffer, uint64_t offset, uint64_t size, uint32_t generation)
{
	const uint64_t *words = buffer;

	for (uint64_t at = 0; at < size; at += 8) {
		uint64_t wanted = stamp_of(offset + at, generation);

		if (words[at / 8] == wanted)
			continue;
		fprintf(stderr, "wrong data at disk offset %llu, generation %u: %016llx instead of %016llx\n",
			(unsigned long long)(offset + at), generation, (unsigned long long)words[at / 8],
			(unsigned long long)wanted);
		exit(1);
	}
}
