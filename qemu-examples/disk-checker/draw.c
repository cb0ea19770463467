/*
 * Operations at random: mostly small ones, of odd sizes at odd places, half of them in a small part of the region, so
 * that they meet each other. Where the kernel's page cache itself promises nothing, they are kept apart.
 */
#include "draw.h"

#define PAGE 4096
#define HOT_SHARE 16
#define SMALL_BYTES (16 << 10)

static uint64_t pick(struct lane *lane, uint64_t below)
{
	lane->random ^= lane->random << 13;
	lane->random ^= lane->random >> 7;
	lane->random ^= lane->random << 17;
	return (lane->random >> 11) % below;
}

static int draw_kind(const struct play *play, struct lane *lane)
{
	static const uint8_t dice[] = { WRITE, WRITE, WRITE, WRITE, WRITE, WRITE, WRITE, WRITE, READ, READ, READ, READ,
					READ, READ, READ, ZERO, PUNCH, DISCARD, WRITE, READ };
	int kind = dice[pick(lane, sizeof(dice))];

	if (pick(lane, 40) == 0)
		return FLUSH;
	return play->target->can[kind] ? kind : READ;
}

/* On a device zeroing and discarding drop whole pages of the cache, whatever is written to them meanwhile. */
static int needs_pages(const struct play *play, const struct op *op)
{
	return play->target->is_device && !op->direct && changes(op) && op->kind != WRITE;
}

static uint64_t at_least(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

struct op draw(const struct play *play, struct lane *lane)
{
	struct op op = { .kind = draw_kind(play, lane), .lane = lane->index, .direct = play->direct };
	uint64_t unit = play->target->unit, most = play->length_max / unit, hot, room;

	if (op.kind == FLUSH)
		return op;
	if (needs_pages(play, &op) || (changes(&op) && op.kind != WRITE && !play->target->is_device && unit < 512 &&
				       pick(lane, 2)))
		unit = at_least(unit, PAGE);
	most = play->length_max / unit;
	if (pick(lane, 8) != 0)
		most = at_least(SMALL_BYTES / unit, 1) < most ? at_least(SMALL_BYTES / unit, 1) : most;
	hot = at_least(play->target->size / HOT_SHARE / unit, at_least(2 * SMALL_BYTES / unit, 2));
	room = pick(lane, 2) ? hot : play->target->size / unit;
	room = room < play->target->size / unit ? room : play->target->size / unit;
	op.length = 1 + pick(lane, at_least(most < room ? most : room, 1));
	op.offset = pick(lane, room - op.length + 1) * unit;
	op.length *= unit;
	op.pieces = 1 + pick(lane, 2) * pick(lane, 6);
	return op;
}

static int meet(const struct op *a, const struct op *b, uint64_t grain)
{
	return a->offset / grain <= (b->offset + b->length - 1) / grain &&
	       b->offset / grain <= (a->offset + a->length - 1) / grain;
}

int draw_conflicts(const struct play *play, const struct lane *lane, const struct op *op)
{
	if (op->kind == FLUSH)
		return 0;
	for (uint32_t i = 0; i < play->lane_count; i++) {
		const struct op *other = &play->log->ops[play->lanes[i].now];

		if (!play->lanes[i].now || &play->lanes[i] == lane || other->kind == FLUSH)
			continue;
		if ((needs_pages(play, op) || needs_pages(play, other)) && meet(op, other, PAGE))
			return 1;
		if (!play->overlap && (changes(op) || changes(other)) && meet(op, other, 1))
			return 1;
	}
	return 0;
}
