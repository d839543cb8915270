// record_file.c -- see record_file.h.

#define _GNU_SOURCE

#include "hooks/record_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "cpython/symbols.h"
#include "pimalloc/pimalloc.h"
#include "platform/file.h"
#include "platform/os.h"
#include "platform/say.h"
#include "platform/threads.h"

_Atomic uint32_t pim_record_epoch;

static pim_file file;
static int process; // that opened it
static uint64_t began_ms;
static _Atomic uint64_t end; // of the places taken
static _Atomic int failure;

uint64_t
pim_record_ms(void)
{
    return pim_os->now_ms() - began_ms;
}

void
pim_record_fail(int err)
{
    int none = 0;
    if (!atomic_compare_exchange_strong(&failure, &none, err)) {
        return;
    }
    pim_store_relaxed(&pim_record_epoch, 0);
    pim_say("pimalloc: the recording in %s ends here: %s; the program goes "
            "on\n",
            file.path, strerror(-err));
}

static int
write_block(pim_log_block *header)
{
    unsigned char *content = (unsigned char *)(header + 1);
    size_t bytes = pim_align_up(header->bytes, 8);
    memset(content + header->bytes, 0, bytes - header->bytes);
    header->magic = PIM_LOG_MAGIC;
    header->checksum = pim_log_checksum(header, content);
    bytes += sizeof(*header);
    uint64_t place = pim_add_relaxed(&end, bytes);
    return pim_file_write_at(&file, header, bytes, place);
}

void
pim_record_write(pim_log_block *header)
{
    if (pim_load_relaxed(&failure) != 0 || pim_process_id() != process) {
        return;
    }
    int err = write_block(header);
    if (err != 0) {
        pim_record_fail(err);
    }
}

static int
write_head(int64_t interp)
{
    struct {
        pim_log_block header;
        char text[1024];
    } head = {.header = {.kind = PIM_LOG_HEAD}};
    struct timespec now;
    const char *version =
        pim_py.get_version != NULL ? pim_py.get_version() : "none";
    clock_gettime(CLOCK_REALTIME, &now);
    int length = snprintf(
        head.text, sizeof(head.text) - 8,
        "version %d\npimalloc %d.%d.%d\nprocess %d\npython %.*s\n"
        "program %.200s\npage %zu\ninterpreter %lld\nbegan %lld.%09ld\n",
        PIM_LOG_VERSION, PIMALLOC_VERSION_MAJOR, PIMALLOC_VERSION_MINOR,
        PIMALLOC_VERSION_PATCH, process, (int)strcspn(version, " "), version,
        program_invocation_short_name, pim_os_page_size(), (long long)interp,
        (long long)now.tv_sec, now.tv_nsec);
    head.header.bytes = (uint32_t)length;
    return write_block(&head.header);
}

int
pim_record_open(const char *path, int64_t interp, bool *has_pid)
{
    int err = pim_file_open(&file, path, PIM_FILE_ANEW);
    if (err != 0) {
        return err;
    }
    *has_pid = file.has_pid;
    process = pim_process_id();
    began_ms = pim_os->now_ms();
    pim_store_relaxed(&end, 0);
    pim_store_relaxed(&failure, 0);
    err = write_head(interp);
    return err == 0 ? 0 : pim_file_close(&file, err);
}

int
pim_record_close(bool cut)
{
    struct {
        pim_log_block header;
        char room[8];
    } last = {.header = {.kind = PIM_LOG_END}};
    if (!cut) {
        pim_record_write(&last.header);
    }
    int err = pim_load_relaxed(&failure);
    file.is_locked =
        file.is_locked && process == getpid(); // it is the parent's
    return pim_file_close(&file, err);
}
