// test_current.c -- whose heap a thread owns, asked anew at each request.

#include "domain/domain.h"
#include "heap/large.h"
#include "interp/figures.h"
#include "interp/roster.h"
#include "support/core.h"
#include "support/fake_interp.h"
#include "support/team.h"

static fake_interp a;
static fake_interp b;

static int
begin(void **state)
{
    (void)state;
    fake_interp_begin(&a, core_next_id());
    fake_interp_begin(&b, core_next_id());
    return 0;
}

static int
end(void **state)
{
    (void)state;
    fake_interp_swap(NULL);
    if (a.block != NULL) {
        fake_interp_end(&a);
    }
    fake_interp_end(&b);
    return 0;
}

static int64_t
id_of_new_block(void)
{
    void *p = pim_obj_malloc(NULL, 40);
    EXPECT_NOT_NULL(p);
    bool tagged;
    pim_heap *heap = pim_page_owner(pim_page_of(p), &tagged);
    int64_t id = heap->id;
    pim_obj_free(NULL, p);
    return id;
}

TEST(first_request_under_an_interpreter_is_its_birth)
{
    pim_figures figures;
    EXPECT(!pim_registry_figures(a.state->id, &figures));
    fake_interp_swap(&a);
    EXPECT_EQ(id_of_new_block(), a.state->id);
    EXPECT(pim_registry_figures(a.state->id, &figures));
}

TEST(known_interpreter_is_not_asked_for_again)
{
    fake_interp_swap(&a);
    id_of_new_block();
    uint64_t calls = fake_resolve_calls();
    for (unsigned i = 0; i < 1000; i++) {
        pim_obj_free(NULL, pim_obj_malloc(NULL, 40));
    }
    EXPECT_EQ(fake_resolve_calls(), calls);
}

TEST(swapped_thread_state_changes_the_heap_at_once)
{
    for (unsigned i = 0; i < 10; i++) {
        fake_interp_swap(&a);
        EXPECT_EQ(id_of_new_block(), a.state->id);
        fake_interp_swap(&b);
        EXPECT_EQ(id_of_new_block(), b.state->id);
    }
}

TEST(block_of_the_swapped_out_interpreter_is_freed_remotely)
{
    fake_interp_swap(&a);
    void *p = pim_obj_malloc(NULL, 40);
    fake_interp_swap(&b);
    pim_obj_free(NULL, p);
    EXPECT_EQ(fake_figures(a.state->id).remote_frees, 1);
    EXPECT_EQ(fake_figures(a.state->id).by_domain[1].live_blocks, 0);
}

TEST(no_thread_state_means_the_process_heap)
{
    EXPECT_EQ(id_of_new_block(), PIM_PROCESS_ID);
    fake_interp_swap(&a);
    EXPECT_EQ(id_of_new_block(), a.state->id);
    fake_interp_swap(NULL);
    EXPECT_EQ(id_of_new_block(), PIM_PROCESS_ID);
}

// The next interpreter gets the same memory, and this thread has cached the old
// one's heap under that pointer.
static void
reuse_pointer(bool told)
{
    fake_interp next;
    int64_t ended = a.state->id;
    fake_state *pointer = a.state;
    fake_interp_swap(&a);
    id_of_new_block();
    fake_interp_swap(NULL);
    if (told) {
        fake_interp_end(&a);
    } else {
        void *block = fake_interp_forget(&a);
        pim_large_free(&pim_process_heap, block); // past raw
    }
    fake_interp_begin(&next, core_next_id());
    if (next.state != pointer) {
        print_message("the memory was not used again\n");
    }
    fake_interp_swap(&next);
    EXPECT_EQ(id_of_new_block(), next.state->id);
    if (next.state == pointer) {
        EXPECT(fake_figures(ended).ended);
    }
    fake_interp_swap(NULL);
    fake_interp_end(&next);
}

TEST_OF(stale_cache_does_not_survive_the_end_of_its_interpreter,
        reuse_pointer(true))
TEST_OF(stale_cache_does_not_survive_an_end_that_nobody_told,
        reuse_pointer(false))

static _Atomic bool may_go_on;
static _Atomic bool has_cached;

static void
cache_and_wait(team_member *self)
{
    (void)self;
    fake_interp_attach(&a);
    id_of_new_block();
    fake_interp_detach(&a);
    pim_store_release(&has_cached, true);
    while (!pim_load_acquire(&may_go_on)) {
    }
    fake_interp_attach(&a); // another one by now
    EXPECT_EQ(id_of_new_block(), a.state->id);
    fake_interp_detach(&a);
}

TEST(other_threads_caches_end_with_the_interpreter)
{
    team t = {.count = 0};
    team_add(&t, cache_and_wait);
    while (!pim_load_acquire(&has_cached)) {
    }
    pthread_mutex_lock(a.gil); // its last holder is done
    pthread_mutex_unlock(a.gil);
    fake_interp_end(&a);
    fake_interp_begin(&a, core_next_id());
    pim_store_release(&may_go_on, true);
    team_join(&t);
}

TEST(new_runtime_makes_main_known_anew)
{
    fake_interp_swap(fake_main());
    EXPECT_EQ(id_of_new_block(), FAKE_MAIN);
    fake_python_start();
    EXPECT_EQ(id_of_new_block(), FAKE_MAIN);
    EXPECT_EQ(fake_figures(FAKE_MAIN).generation, fake_python_generation());
}

TEST(thread_without_a_word_resolves_each_time_and_right)
{
    fake_python_hide_word(true);
    for (unsigned i = 0; i < 5; i++) {
        fake_interp_swap(&a);
        EXPECT_EQ(id_of_new_block(), a.state->id);
        fake_interp_swap(&b);
        EXPECT_EQ(id_of_new_block(), b.state->id);
        fake_interp_swap(NULL);
        EXPECT_EQ(id_of_new_block(), PIM_PROCESS_ID);
    }
    fake_interp_swap(&a);
    uint64_t calls = fake_resolve_calls();
    id_of_new_block();
    EXPECT_GT(fake_resolve_calls(), calls);
    fake_python_hide_word(false);
    fake_interp_swap(NULL);
}

SUITE(.set_up = core_set_up, .begin = begin, .end = end)
