// test_size_class.c -- the class of every size.

#include "page/page.h"
#include "support/expect.h"

TEST(every_size_fits_its_block)
{
    for (size_t size = 1; size <= PIM_SMALL_MAX; size++) {
        unsigned c = pim_size_class(size);
        EXPECT_LT(c, PIM_CLASSES);
        EXPECT_GE(pim_classes[c].block_size, size);
        // and no smaller class would do
        EXPECT(c == 0 || pim_classes[c - 1].block_size < size);
    }
}

TEST(no_block_wastes_more_than_a_ninth)
{
    for (size_t size = 1; size <= PIM_SMALL_MAX; size++) {
        size_t block = pim_classes[pim_size_class(size)].block_size;
        if (size <= PIM_TINY_MAX) {
            EXPECT_LT(block - size, PIM_ALIGNMENT);
        } else {
            EXPECT_LE((block - size) * 9, block);
        }
    }
}

TEST(classes_grow)
{
    for (unsigned c = 1; c < PIM_CLASSES; c++) {
        EXPECT_GT(pim_classes[c].block_size, pim_classes[c - 1].block_size);
    }
    EXPECT_EQ(pim_classes[PIM_CLASSES - 1].block_size, PIM_SMALL_MAX);
}

TEST(classes_are_aligned)
{
    for (unsigned c = 0; c < PIM_CLASSES; c++) {
        EXPECT_EQ(pim_classes[c].block_size % PIM_ALIGNMENT, 0);
    }
}

TEST(pages_are_one_unit_where_that_holds_seven_blocks)
{
    for (unsigned c = 0; c < PIM_CLASSES; c++) {
        const pim_class_info *info = &pim_classes[c];
        EXPECT_GE(info->units, 1);
        EXPECT_LE(info->units, 16); // else no arena would tell that one fits
        EXPECT(info->units == 1 || PIM_UNIT_SIZE / info->block_size < 7);
    }
}

TEST(no_page_leaves_more_than_a_seventh_over)
{
    for (unsigned c = 0; c < PIM_CLASSES; c++) {
        const pim_class_info *info = &pim_classes[c];
        size_t page = info->units * PIM_UNIT_SIZE;
        EXPECT_LE((page - info->capacity * info->block_size) * 7, page);
    }
}

TEST(capacity_is_what_fits_in_a_page)
{
    for (unsigned c = 0; c < PIM_CLASSES; c++) {
        const pim_class_info *info = &pim_classes[c];
        size_t page = info->units * PIM_UNIT_SIZE;
        EXPECT_LE(info->capacity * info->block_size, page);
        EXPECT_GT((info->capacity + 1u) * info->block_size, page);
        EXPECT_GE(info->capacity, 4);
        EXPECT_LT(info->capacity, PIM_REST_NEVER);
        EXPECT_LE(info->capacity, PIM_UNIT_SIZE / PIM_ALIGNMENT);
        EXPECT_GE(info->carved, 1);
        EXPECT_LE(info->carved, info->capacity);
    }
}

TEST(tiny_class_is_a_division)
{
    for (size_t size = 1; size <= PIM_TINY_MAX; size++) {
        EXPECT_EQ(pim_size_class(size), (size - 1) / PIM_ALIGNMENT);
    }
}

SUITE()
