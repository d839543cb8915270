// storm.h -- threads that allocate, free one another's blocks, and begin and end
// interpreters.

#ifndef PIM_TESTS_HOOKS_STORM_H
#define PIM_TESTS_HOOKS_STORM_H

#include "support/team.h"

// The work of a team's member.
void storm_come_and_go(team_member *self);

// Frees what is left over when all have stopped.
void storm_clean_up(void);

#endif // PIM_TESTS_HOOKS_STORM_H
