// size_class.c -- the table of classes.
//
// Pages are one unit, like pymalloc's pools, as long as they hold at least seven
// blocks; larger blocks get pages of more units, so that a program that swings by
// a few blocks does not open and close pages.  Not more units than that: most
// classes have few blocks, which fill fewer arenas then.  Memory of a page
// is touched only as far as blocks were cut from it, so a large page of few
// blocks costs address space and nothing else.

#include "page/size_class.h"

// Blocks cut at a time: a system page's worth, so that a refill stays within
// memory that the next blocks touch anyway.
#define CUT_BYTES 4096

#define CUT_MAX 128

#define CUT(size)                                                              \
    ((uint8_t)(CUT_BYTES / (size) > CUT_MAX ? CUT_MAX                          \
               : CUT_BYTES / (size) < 1     ? 1                                \
                                            : CUT_BYTES / (size)))
#define CLASS(size, page_units)                                                \
    {                                                                          \
        (size), (uint16_t)((page_units)*PIM_UNIT_SIZE / (size)), (page_units), \
            CUT(size)                                                          \
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
    CLASS(2336, 4), CLASS(2592, 4), CLASS(2848, 4), CLASS(3104, 4),
    CLASS(3360, 4), CLASS(3616, 4), CLASS(3872, 4), CLASS(4128, 4),
    CLASS(4640, 4), CLASS(5152, 4), CLASS(5664, 4), CLASS(6176, 4),
    CLASS(6688, 4), CLASS(7200, 4), CLASS(7712, 4), CLASS(8224, 4),
    CLASS(9248, 4), CLASS(10272, 16), CLASS(11296, 16), CLASS(12320, 16),
    CLASS(13344, 16), CLASS(14368, 16), CLASS(15392, 16), CLASS(16416, 16),
    CLASS(18464, 16), CLASS(20512, 16), CLASS(22560, 16), CLASS(24608, 16),
    CLASS(26656, 16), CLASS(28704, 16), CLASS(30752, 16), CLASS(32800, 16),
};
// clang-format on

_Static_assert(PIM_TINY_CLASSES == 34, "the table lists 34 tiny classes");
_Static_assert(PIM_SMALL_MAX == 32800, "the table ends there");
