/* Which operation comes next on a lane, and whether it may run beside those in flight. */
#ifndef DRAW_H
#define DRAW_H
#include "play.h"

struct op draw(const struct play *play, struct lane *lane);
/* Called under the lock. */
int draw_conflicts(const struct play *play, const struct lane *lane, const struct op *op);

#endif
