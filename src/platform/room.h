// room.h -- whether there is room for something that must not fail.

#ifndef PIM_PLATFORM_ROOM_H
#define PIM_PLATFORM_ROOM_H

#include <stdbool.h>
#include <stddef.h>

// Whether so much memory, and so many maps more, could be had at this moment.
bool pim_has_room(size_t bytes, unsigned maps);

// Whether there is so much address space, whatever there is of memory.  By
// trying.
bool pim_has_addresses(size_t bytes);

// Whether the limits of the process (ulimit -v, -d) leave so much.  Nothing is
// mapped, which other threads would be short of meanwhile, and which mlockall()
// would fill.
bool pim_limits_leave(size_t bytes);

#endif // PIM_PLATFORM_ROOM_H
