// profile.c -- the profile of memory that PIMALLOC_PROFILE asks for.
//
//   installed --> begins, without stacks --> Python runs --> with stacks
//   a signal, every so often, and when Python begins to end --> a file
//
// What is live when Python begins to end is more telling than what is left when
// it has ended.  Where that moment was not seen the process's own end will do.

#define _GNU_SOURCE

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "cpython/bind.h"
#include "cpython/moments.h"
#include "hooks/frames.h"
#include "pimalloc/profile.h"
#include "platform/path.h"
#include "platform/say.h"
#include "preload/preload.h"

// %p as in all paths; %n is the number of the file.
static char pattern[PATH_MAX];
static int begun_in;             // the process; 0: none
static _Atomic unsigned written; // files
static _Atomic int told_end_of;  // a process

// --- names -------------------------------------------------------------------

static const char *
default_name(void)
{
    static const char *const names[][2] = {
        [PIMALLOC_HTML] = {"pimalloc-%p.html", "pimalloc-%p-%n.html"},
        [PIMALLOC_PPROF] = {"pimalloc-%p.pb.gz", "pimalloc-%p-%n.pb.gz"},
        [PIMALLOC_FOLDED] = {"pimalloc-%p.folded", "pimalloc-%p-%n.folded"},
        [PIMALLOC_SPEEDSCOPE] = {"pimalloc-%p.speedscope.json",
                                 "pimalloc-%p-%n.speedscope.json"},
    };
    const pim_options *o = &pim_preload_options;
    return names[o->profile_format][o->profile_seconds != 0];
}

// In the directory that is current now: the program may change it.  A per cent
// sign in that is doubled.
static void
choose_pattern(void)
{
    char here[PATH_MAX];
    size_t used = 0;
    const char *file = pim_preload_options.profile_file;
    file = file != NULL ? file : default_name();
    bool is_known = file[0] != '/' && getcwd(here, sizeof(here)) != NULL;
    for (const char *at = here; is_known && *at != '\0'; at++) {
        if (used + 3 < sizeof(pattern)) {
            pattern[used++] = *at;
            if (*at == '%') {
                pattern[used++] = '%';
            }
        }
    }
    snprintf(pattern + used, sizeof(pattern) - used, "%s%s",
             is_known ? "/" : "", file);
}

// The path of the file of a number, as pim_path_expand() takes it.  Returns
// whether there is a number in it; a longer one is cut, and so not found.
static bool
numbered(unsigned number, char out[PATH_MAX])
{
    bool has_number = false;
    size_t used = 0;
    for (const char *at = pattern; *at != '\0' && used + 12 < PATH_MAX;) {
        if (at[0] == '%' && at[1] == 'n') {
            used += (size_t)snprintf(out + used, PATH_MAX - used, "%u", number);
            has_number = true;
            at += 2;
        } else {
            bool is_pair = at[0] == '%' && at[1] == '%';
            out[used++] = *at++;
            if (is_pair) {
                out[used++] = *at++;
            }
        }
    }
    out[used] = '\0';
    return has_number;
}

// The oldest file of this process that is there.
static void
drop_old(unsigned number)
{
    char path[PATH_MAX];
    char expanded[PATH_MAX];
    bool ignored;
    unsigned keep = pim_preload_options.profile_keep;
    if (number > keep && numbered(number - keep, path) &&
        pim_path_expand(path, expanded, &ignored) == 0) {
        unlink(expanded);
    }
}

// --- writing -----------------------------------------------------------------

static void
say_not_written(const char *path, int err)
{
    char expanded[PATH_MAX];
    bool ignored;
    bool expands = pim_path_expand(path, expanded, &ignored) == 0;
    pim_say("pimalloc: the profile could not be written to %s: %s; name a file "
            "in a folder that this process may write to\n",
            expands ? expanded : path, strerror(-err));
}

void
pim_preload_write_profile(void)
{
    char path[PATH_MAX];
    char expanded[PATH_MAX];
    bool has_pid;
    if (begun_in == 0 || !pim_interp_is_served() ||
        pim_path_expand(pattern, expanded, &has_pid) != 0 ||
        (begun_in != getpid() && !has_pid)) { // the file is the parent's
        return;
    }
    unsigned number = pim_add_relaxed(&written, 1) + 1;
    numbered(number, path);
    int err = pimalloc_profile_save(path, pim_preload_options.profile_format);
    if (err != 0) {
        say_not_written(path, err);
    } else {
        drop_old(number);
    }
}

void
pim_preload_end_profile(void)
{
    int self = getpid();
    if (begun_in != 0 && atomic_exchange(&told_end_of, self) != self) {
        pim_preload_write_profile();
    }
}

// --- beginning ---------------------------------------------------------------

static bool
python_runs(void)
{
    static bool watches_end;
    if (!watches_end) {
        watches_end = true;
        pim_py_call_at_exit(pim_preload_end_profile);
    }
    pim_frames_start();
    return pim_frames_are_judged();
}

static void
in_child(void)
{
    pim_store_relaxed(&written, 0);
}

static const char *
reason(int err)
{
    return err == -EINVAL    ? "its period is out of range"
           : err == -ENOTSUP ? "this build of pimalloc counts nothing"
                             : strerror(-err);
}

void
pim_preload_begin_profile(void)
{
    const pim_options *o = &pim_preload_options;
    if (o->profile_format < 0 || begun_in != 0) {
        return;
    }
    int err = pimalloc_profile_start(o->profile_period, 0);
    if (err != 0) {
        pim_say("pimalloc: there is no profile: %s\n", reason(err));
        return;
    }
    choose_pattern();
    begun_in = getpid();
    pthread_atfork(NULL, NULL, in_child);
    if (pim_py_call_soon(python_runs) != 0) {
        pim_say("pimalloc: no thread could be started, so the profile has no "
                "stacks until Python code calls pimalloc.profile_start()\n");
    }
}
