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
    TINY(496), TINY(512), TINY(528), TINY(544),
    CLASS(608, 1), CLASS(672, 1), CLASS(736, 1), CLASS(800, 1),
    CLASS(864, 1), CLASS(928, 1), CLASS(992, 1), CLASS(1056, 1),
    CLASS(1184, 1), CLASS(1312, 1), CLASS(1440, 1), CLASS(1568, 1),
    CLASS(1696, 1), CLASS(1824, 1), CLASS(1952, 1), CLASS(2080, 1),
    CLASS(2336, 1), CLASS(2592, 1), CLASS(2848, 2), CLASS(3104, 1),
    CLASS(3360, 2), CLASS(3616, 2), CLASS(3872, 2), CLASS(4128, 3),
    CLASS(4640, 2), CLASS(5152, 2), CLASS(5664, 3), CLASS(6176, 2),
    CLASS(6688, 3), CLASS(7200, 4), CLASS(7712, 2), CLASS(8224, 4),
    CLASS(9248, 4), CLASS(10272, 4), CLASS(11296, 3), CLASS(12320, 4),
    CLASS(13344, 5), CLASS(14368, 8), CLASS(15392, 4), CLASS(16416, 8),
    CLASS(18464, 8), CLASS(20512, 8), CLASS(22560, 8), CLASS(24608, 8),
    CLASS(26656, 7), CLASS(28704, 8), CLASS(30752, 8), CLASS(32800, 9),
};
// clang-format on

_Static_assert(PIM_TINY_CLASSES == 34, "the table lists 34 tiny classes");
_Static_assert(PIM_SMALL_MAX == 32800, "the table ends there");
