// test_registry.c -- births, ends and lookups of interpreters.

#include <errno.h>

#include "abandoned/poison.h"
#include "domain/domain.h"
#include "interp/figures.h"
#include "interp/registry.h"
#include "interp/roster.h"
#include "platform/epoch.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/fake_os.h"

// Interpreter pointers without a state behind them.
static char place[16][4096];

static pim_heap *
birth(unsigned at, int64_t id)
{
    return pim_registry_birth(place[at], id, fake_python_generation(), NULL,
                              NULL);
}

static bool
end(unsigned at)
{
    return pim_registry_end(place[at], sizeof(place[at]));
}

static pim_heap *
find(unsigned at, int64_t id)
{
    return pim_registry_find(place[at], id, fake_python_generation());
}

TEST(birth_gives_a_heap_that_is_found_again)
{
    int64_t id = core_next_id();
    EXPECT_NULL(find(0, id));
    pim_heap *heap = birth(0, id);
    EXPECT_NOT_NULL(heap);
    EXPECT_EQ(heap->id, id);
    EXPECT_PTR_EQ(find(0, id), heap);
    EXPECT_PTR_EQ(birth(0, id), heap);
    EXPECT(end(0));
    EXPECT_NULL(find(0, id));
    EXPECT(!end(0));
}

TEST(find_asks_for_pointer_id_and_generation)
{
    int64_t id = core_next_id();
    birth(0, id);
    EXPECT_NULL(find(1, id));
    EXPECT_NULL(find(0, id + 1000));
    EXPECT_NULL(pim_registry_find(place[0], id, fake_python_generation() + 1));
    EXPECT(end(0));
}

TEST(end_is_found_by_any_pointer_inside_the_block)
{
    int64_t id = core_next_id();
    pim_registry_birth(place[2] + 200, id, fake_python_generation(), NULL,
                       NULL);
    EXPECT(!pim_registry_end(place[1], sizeof(place[1])));
    EXPECT(!pim_registry_end(place[2], 200));
    EXPECT(!pim_registry_end(place[2] + 208, 100));
    EXPECT(pim_registry_end(place[2], 208));
}

TEST(end_ends_the_epoch)
{
    birth(0, core_next_id());
    uint64_t epoch = pim_load_relaxed(&pim_epoch);
    EXPECT(end(0));
    EXPECT_GT(pim_load_relaxed(&pim_epoch), epoch);
}

TEST(reused_pointer_ends_who_had_it)
{
    int64_t first = core_next_id();
    int64_t second = core_next_id();
    pim_heap *old = birth(0, first);
    uint64_t serial = pim_load_relaxed(&old->serial);
    uint64_t epoch = pim_load_relaxed(&pim_epoch);
    pim_heap *new = birth(0, second);
    EXPECT_NOT_NULL(new);
    EXPECT_NE(pim_load_relaxed(&new->serial), serial);
    EXPECT_GT(pim_load_relaxed(&pim_epoch), epoch);
    EXPECT_NULL(find(0, first));
    EXPECT_PTR_EQ(find(0, second), new);
    EXPECT(fake_figures(first).ended);
    EXPECT(end(0));
}

TEST(same_id_in_a_new_runtime_is_another_interpreter)
{
    int64_t id = core_next_id();
    birth(0, id);
    fake_python_start();
    EXPECT_NULL(find(0, id));
    EXPECT_NOT_NULL(birth(0, id));
    EXPECT_EQ(fake_figures(id).generation, fake_python_generation());
    EXPECT(!fake_figures(id).ended);
    EXPECT(end(0));
}

TEST(main_keeps_its_heap_over_runtimes)
{
    fake_interp_attach(fake_main());
    void *p = pim_obj_malloc(NULL, 10);
    pim_heap *heap = fake_current_heap();
    fake_interp_detach(fake_main());
    fake_python_start();
    fake_interp_attach(fake_main());
    EXPECT_PTR_EQ(fake_current_heap(), heap);
    EXPECT_EQ(fake_figures(FAKE_MAIN).generation, fake_python_generation());
    pim_obj_free(NULL, p);
    fake_interp_detach(fake_main());
}

TEST(main_never_ends)
{
    fake_interp_attach(fake_main());
    pim_obj_free(NULL, pim_obj_malloc(NULL, 10));
    fake_interp_detach(fake_main());
    EXPECT(!pim_registry_end(fake_main()->state, 1));
    EXPECT(!fake_figures(FAKE_MAIN).ended);
}

TEST(legacy_interpreter_is_served_and_counted_by_main)
{
    fake_interp legacy;
    fake_interp_begin_legacy(&legacy, core_next_id());
    fake_interp_attach(fake_main());
    pim_heap *of_main = fake_current_heap();
    uint64_t blocks = fake_figures(FAKE_MAIN).by_domain[1].live_blocks;
    fake_interp_detach(fake_main());

    fake_interp_attach(&legacy);
    void *p = pim_obj_malloc(NULL, 50);
    EXPECT_PTR_EQ(fake_current_heap(), of_main);
    EXPECT_EQ(fake_figures(FAKE_MAIN).by_domain[1].live_blocks, blocks + 1);
    EXPECT_EQ(fake_figures(legacy.state->id).id, FAKE_MAIN);
    fake_interp_stop(&legacy);

    fake_interp_attach(fake_main());
    uint64_t remote = fake_figures(FAKE_MAIN).remote_frees;
    pim_obj_free(NULL, p);
    EXPECT_EQ(fake_figures(FAKE_MAIN).remote_frees, remote);
    EXPECT_EQ(fake_figures(FAKE_MAIN).by_domain[1].live_blocks, blocks);
    fake_interp_detach(fake_main());
}

TEST(unknown_id_has_no_figures)
{
    pim_figures figures;
    EXPECT(!pim_registry_figures(INT64_MAX, &figures));
    EXPECT(!pim_registry_figures(-2, &figures));
    EXPECT(pim_registry_figures(PIM_PROCESS_ID, &figures));
    EXPECT_EQ(figures.id, PIM_PROCESS_ID);
}

TEST(newest_of_several_with_an_id_is_meant)
{
    int64_t id = core_next_id();
    birth(0, id);
    EXPECT(end(0));
    birth(1, id);
    EXPECT(!fake_figures(id).ended);
    EXPECT(end(1));
    EXPECT(fake_figures(id).ended);
}

TEST(ended_interpreter_is_known_until_64_more_ended)
{
    int64_t first = core_next_id();
    pim_figures figures;
    birth(0, first);
    EXPECT(end(0));
    for (unsigned i = 0; i < PIM_ENDED_KEPT - 1; i++) {
        birth(0, core_next_id());
        EXPECT(end(0));
        EXPECT(pim_registry_figures(first, &figures));
        EXPECT(figures.ended);
    }
    birth(0, core_next_id());
    EXPECT(end(0));
    EXPECT(!pim_registry_figures(first, &figures));
}

// The place of an id among those known; n if it is not.
static size_t
place_of(int64_t id, const int64_t *known, size_t n)
{
    size_t i = 0;
    while (i < n && known[i] != id) {
        i++;
    }
    return i;
}

TEST(ids_are_the_ended_by_end_then_the_living_by_birth)
{
    int64_t known[256];
    int64_t ids[4];
    for (unsigned i = 0; i < 4; i++) {
        ids[i] = core_next_id();
        birth(i, ids[i]);
    }
    EXPECT(end(2));
    EXPECT(end(1));
    size_t n = pim_registry_ids(known, PIM_ARRAY_LEN(known));
    EXPECT_LE(n, PIM_ARRAY_LEN(known));
    EXPECT_LT(place_of(ids[2], known, n), place_of(ids[1], known, n));
    EXPECT_LT(place_of(ids[1], known, n), place_of(ids[0], known, n));
    EXPECT_LT(place_of(ids[0], known, n), place_of(ids[3], known, n));
    EXPECT_LT(place_of(ids[3], known, n), n);
    EXPECT(end(0));
    EXPECT(end(3));
}

typedef struct visits {
    pim_figures of[256];
    size_t count;
} visits;

static void
note(void *arg, const pim_figures *figures)
{
    visits *v = arg;
    if (v->count < PIM_ARRAY_LEN(v->of)) {
        v->of[v->count] = *figures;
    }
    v->count++;
}

TEST(each_visits_what_is_listed_also_where_ids_repeat)
{
    static visits all;
    int64_t known[256];
    int64_t id = core_next_id();
    birth(0, id);
    EXPECT(end(0));
    uint32_t before = fake_python_generation();
    fake_python_start();
    birth(0, id);
    EXPECT_NOT_NULL(pim_registry_birth(
        place[1], core_next_id(), fake_python_generation(), find(0, id), NULL));
    pim_registry_each(note, &all);
    EXPECT_EQ(all.count, pim_registry_ids(known, PIM_ARRAY_LEN(known)));
    unsigned first = 0;
    unsigned second = 0;
    for (size_t i = 0; i < all.count; i++) {
        EXPECT_EQ(all.of[i].id, known[i]);
        bool same = all.of[i].id == id;
        first += same && all.of[i].ended && all.of[i].generation == before;
        second += same && !all.of[i].ended && all.of[i].generation > before;
    }
    EXPECT_EQ(first, 1);
    EXPECT_EQ(second, 1);
    EXPECT(end(1));
    EXPECT(end(0));
}

TEST(legacy_interpreters_are_not_listed)
{
    int64_t known[256];
    int64_t id = core_next_id();
    pim_heap *own = birth(0, core_next_id());
    EXPECT_PTR_EQ(
        pim_registry_birth(place[1], id, fake_python_generation(), own, NULL),
        own);
    size_t n = pim_registry_ids(known, PIM_ARRAY_LEN(known));
    EXPECT_EQ(place_of(id, known, n), n);
    EXPECT(end(1));
    EXPECT(end(0));
}

TEST(ids_are_counted_beyond_the_capacity)
{
    int64_t one = -5;
    birth(0, core_next_id());
    birth(1, core_next_id());
    size_t n = pim_registry_ids(NULL, 0);
    EXPECT_GE(n, 2);
    EXPECT_EQ(pim_registry_ids(&one, 1), n);
    EXPECT_NE(one, -5);
    EXPECT(end(0));
    EXPECT(end(1));
}

TEST(subs_counts_all_but_main)
{
    uint64_t before = pim_load_relaxed(&pim_registry_subs);
    birth(0, core_next_id());
    birth(1, core_next_id());
    EXPECT_EQ(pim_load_relaxed(&pim_registry_subs), before + 2);
    EXPECT(end(0));
    EXPECT(end(1));
    EXPECT_EQ(pim_load_relaxed(&pim_registry_subs), before);
}

TEST(records_are_recycled)
{
    birth(0, core_next_id());
    EXPECT(end(0));
    uint64_t mapped = pim_load_relaxed(&fake.mapped_bytes);
    for (unsigned i = 0; i < 1000; i++) {
        birth(i % 16, core_next_id());
        EXPECT(end(i % 16));
    }
    EXPECT_EQ(pim_load_relaxed(&fake.mapped_bytes), mapped);
}

TEST(birth_without_memory_fails_and_can_be_tried_again)
{
    enum { MANY = 300 };
    static char far[MANY][64];
    int64_t ids[MANY];
    bool failed = false;
    fake_os_fail(FAKE_MAP, 1, true);
    unsigned n = 0;
    for (; n < MANY && !failed; n++) {
        ids[n] = core_next_id();
        failed = pim_registry_birth(far[n], ids[n], fake_python_generation(),
                                    NULL, NULL) == NULL;
    }
    fake_os_heal();
    EXPECT(failed);
    EXPECT_NOT_NULL(pim_registry_birth(far[n - 1], ids[n - 1],
                                       fake_python_generation(), NULL, NULL));
    while (n-- > 0) {
        EXPECT(pim_registry_end(far[n], 1));
    }
}

static void
note_heap(void *arg, pim_heap *visited)
{
    *(pim_heap **)arg = visited;
}

TEST(only_living_interpreters_are_visited)
{
    int64_t id = core_next_id();
    pim_heap *visited = NULL;
    EXPECT(!pim_registry_visit(id, note_heap, &visited));
    EXPECT_NULL(visited);
    pim_heap *heap = birth(0, id);
    pim_heap *other = birth(1, core_next_id());
    EXPECT(pim_registry_visit(id, note_heap, &visited));
    EXPECT_PTR_EQ(visited, heap);
    EXPECT_PTR_NE(visited, other);
    EXPECT(end(0));
    EXPECT(!pim_registry_visit(id, note_heap, &visited));
    EXPECT(end(1));
}

TEST(main_and_legacy_interpreters_have_no_policy)
{
    fake_interp legacy;
    fake_interp_attach(fake_main());
    pim_obj_free(NULL, pim_obj_malloc(NULL, 1));
    EXPECT_EQ(pim_registry_set_policy(FAKE_MAIN, PIM_RELEASE), -ENOTSUP);
    fake_interp_detach(fake_main());
    fake_interp_begin_legacy(&legacy, core_next_id());
    fake_interp_attach(&legacy);
    pim_obj_free(NULL, pim_obj_malloc(NULL, 1));
    EXPECT_EQ(pim_registry_set_policy(legacy.state->id, PIM_RELEASE), -ENOTSUP);
    fake_interp_stop(&legacy);
    EXPECT_EQ(pim_registry_set_policy(core_next_id(), PIM_KEEP), -ENOENT);
}

SUITE(.set_up = core_set_up)
