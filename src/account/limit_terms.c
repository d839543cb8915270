// limit_terms.c -- what limits are set to, and what they say.

#include <errno.h>

#include "account/verdict.h"

// --- terms -----------------------------------------------------------------

pim_budget_defaults pim_budget_new = {.count = true};
static bool terms_are_chosen; // by the program
static bool count_is_chosen;

bool
pim_limit_terms_are_valid(const pim_limit_terms *terms)
{
    return terms->hard_bytes == 0 || terms->soft_bytes <= terms->hard_bytes;
}

void
pim_limit_set(pim_limit *limit, const pim_limit_terms *terms)
{
    pim_budget_acquire();
    pim_budget_set_terms(limit->budget, terms);
    pim_budget_release();
}

bool
pim_limit_set_ended(int64_t id, const pim_limit_terms *terms)
{
    pim_budget_acquire();
    pim_budget *budget = pim_budget_of(id);
    if (budget != NULL) {
        pim_budget_set_terms(budget, terms);
    }
    pim_budget_release();
    return budget != NULL;
}

static void
get_figures(pim_budget *budget, pim_limit_figures *out)
{
    bool is_root = pim_budget_is_top(budget->parent);
    *out = (pim_limit_figures){
        .terms = budget->terms,
        .interp = budget->id,
        .parent = is_root ? PIM_PROCESS_ID : budget->parent->id,
        .counts_made = budget->counts_made,
        .refusals = budget->refusals,
        .tree_bytes = pim_budget_live(budget),
        .left_bytes = budget->left,
    };
}

void
pim_limit_get(const pim_limit *limit, pim_limit_figures *out)
{
    pim_budget_acquire();
    get_figures(limit->budget, out);
    pim_budget_release();
}

bool
pim_limit_get_ended(int64_t id, pim_limit_figures *out)
{
    pim_budget_acquire();
    pim_budget *budget = pim_budget_of(id);
    if (budget != NULL) {
        get_figures(budget, out);
    }
    pim_budget_release();
    return budget != NULL;
}

void
pim_limit_set_default(const pim_limit_terms *terms, bool by_environment)
{
    pim_budget_acquire();
    if (!by_environment || !terms_are_chosen) {
        pim_budget_new.terms = *terms;
        terms_are_chosen = !by_environment;
    }
    pim_budget_release();
}

void
pim_limit_get_default(pim_limit_terms *out)
{
    pim_budget_acquire();
    *out = pim_budget_new.terms;
    pim_budget_release();
}

// --- who counts for whom ---------------------------------------------------

void
pim_limit_count_made(pim_limit *limit, bool count)
{
    pim_budget_acquire();
    limit->budget->counts_made = count;
    pim_budget_release();
}

void
pim_limit_count_by_default(bool count, bool by_environment)
{
    pim_budget_acquire();
    if (!by_environment || !count_is_chosen) {
        pim_budget_new.count = count;
        count_is_chosen = !by_environment;
    }
    pim_budget_release();
}

void
pim_limit_count_of_main(bool count)
{
    pim_budget_acquire();
    pim_budget_new.count_of_main = count;
    pim_budget_release();
}

bool
pim_limit_counts_by_default(void)
{
    pim_budget_acquire();
    bool count = pim_budget_new.count;
    pim_budget_release();
    return count;
}

int
pim_limit_count_for(int64_t id, int64_t parent)
{
    pim_budget_acquire();
    pim_budget *budget = pim_budget_of(id);
    pim_budget *above = parent != PIM_PROCESS_ID ? pim_budget_of(parent) : NULL;
    bool is_known =
        budget != NULL && (above != NULL || parent == PIM_PROCESS_ID);
    bool is_possible = is_known && id != 0 &&
                       (above == NULL || !pim_budget_is_below(above, budget));
    if (is_possible) {
        pim_budget_move(budget, above);
    }
    pim_budget_release();
    return is_possible ? 0 : is_known ? -EINVAL : -ENOENT;
}
