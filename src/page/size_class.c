// size_class.c -- the table of classes.
//
// Pages are one unit, like pymalloc's pools, for blocks of which it holds
// seven, and where it holds fewer and little is left over.  Other pages hold
// four blocks or more and leave little over.  Not more: most classes have few
// blocks, and a page of memory that was used before is resident from end to
// end.

#include "page/size_class.h"

// Blocks carved at a time: a system page's worth, so that a refill stays within
// memory that the next blocks touch anyway.
#define CARVE_BYTES 4096

#define CARVE_MAX 128

#define CARVE(size)                                                            \
    ((uint8_t)(CARVE_BYTES / (size) > CARVE_MAX ? CARVE_MAX                    \
               : CARVE_BYTES / (size) < 1       ? 1                            \
                                                : CARVE_BYTES / (size)))
#define CLASS(size, page_units)                                                \
    {                                                                          \
        (size), (uint16_t)((page_units)*PIM_UNIT_SIZE / (size)), (page_units), \
            CARVE(size)                                                        \
    }
#define TINY(size) CLASS(size, 1)

// clang-format off
const pim_class_info pim_classes[PIM_CLASSES] = {
    TINY(16), TINY(32), TINY(48), TINY(64), TINY(80), TINY(96),
    TINY(112), TINY(128), TINY(144), TINY(160), TINY(176), TINY(192),
    TINY(208), TINY(224), TINY(240), TINY(256), TINY(272), TINY(288),
    TINY(304), TINY(320), TINY(336), TINY(352), TINY(368), TINY(384),
    TINY(400), TINY(416), TINY(432), TINY(448), TINY(464), TINY(480),
    TINY(496), TINY(512), TINY(528), TINY(544), TINY(560),
    CLASS(624, 1), CLASS(688, 1), CLASS(752, 1), CLASS(816, 1),
    CLASS(880, 1), CLASS(944, 1), CLASS(1008, 1), CLASS(1072, 1),
    CLASS(1200, 1), CLASS(1328, 1), CLASS(1456, 1), CLASS(1584, 1),
    CLASS(1712, 1), CLASS(1840, 1), CLASS(1968, 1), CLASS(2096, 1),
    CLASS(2352, 2), CLASS(2608, 1), CLASS(2864, 2), CLASS(3120, 1),
    CLASS(3376, 2), CLASS(3632, 2), CLASS(3888, 2), CLASS(4144, 3),
    CLASS(4656, 2), CLASS(5168, 2), CLASS(5680, 3), CLASS(6192, 2),
    CLASS(6704, 3), CLASS(7216, 4), CLASS(7728, 2), CLASS(8240, 4),
    CLASS(9264, 4), CLASS(10288, 4), CLASS(11312, 3), CLASS(12336, 4),
    CLASS(13360, 5), CLASS(14384, 8), CLASS(15408, 4), CLASS(16432, 8),
    CLASS(18480, 8), CLASS(20528, 8), CLASS(22576, 8), CLASS(24624, 8),
    CLASS(26672, 7), CLASS(28720, 8), CLASS(30768, 8), CLASS(32816, 9),
};
// clang-format on

_Static_assert(PIM_TINY_CLASSES == 35, "the table lists 35 tiny classes");
_Static_assert(PIM_SMALL_MAX == 32816, "the table ends there");
