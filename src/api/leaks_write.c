// leaks_write.c -- see leaks_write.h.  The line of JSON is described by docs/leaks.schema.json.

#include "api/leaks_write.h"

#include <unistd.h>

#include "api/stats.h"
#include "interp/walk.h"
#include "platform/out.h"

#define SCHEMA_VERSION 1

// Kinds that people are shown.
#define ROWS 20

// Bytes of each block of a class; 0: they vary.
static unsigned
block_bytes(int size_class)
{
    return size_class < (int)PIM_CLASSES ? pim_classes[size_class].block_size
                                         : 0;
}

// --- text ------------------------------------------------------------------

static void
put_amount(pim_out *out, uint64_t blocks, uint64_t bytes)
{
    pim_out_count(out, blocks, "block");
    pim_out_text(out, ", ");
    pim_out_count(out, bytes, "byte");
}

static void
put_row(pim_out *out, const pimalloc_leak *leak)
{
    unsigned each = block_bytes(leak->size_class);
    pim_out_printf(
        out, "%14s %10s  %-6s ", pim_number_grouped(leak->bytes).text,
        pim_number_grouped(leak->blocks).text, pim_domain_names[leak->domain]);
    if (each != 0) {
        pim_out_printf(out, "%8u", each);
    } else {
        pim_out_text(out, "   large");
    }
    pim_out_printf(out, "  %s\n", leak->type != NULL ? leak->type : "?");
}

static void
put_rows(pim_out *out, const pimalloc_leaks *leaks)
{
    uint64_t rows = 0;
    uint64_t blocks = leaks->more_blocks;
    uint64_t bytes = leaks->more_bytes;
    pim_out_text(out, "         bytes     blocks  domain  each of  type\n");
    for (size_t i = 0; i < leaks->count; i++) {
        const pimalloc_leak *leak = &leaks->leaks[i];
        if (leak->is_pythons) {
            continue;
        }
        if (rows++ < ROWS) {
            put_row(out, leak);
        } else {
            blocks += leak->blocks;
            bytes += leak->bytes;
        }
    }
    if (blocks != 0) {
        pim_out_printf(out, "%14s %10s  other kinds\n",
                       pim_number_grouped(bytes).text,
                       pim_number_grouped(blocks).text);
    }
}

static void
put_text(pim_out *out, const pimalloc_leaks *leaks)
{
    uint64_t blocks = leaks->blocks - leaks->python_blocks;
    pim_out_printf(out,
                   "pimalloc: interpreter %lld of process %ld ended and left ",
                   (long long)leaks->interp, (long)getpid());
    if (blocks == 0) {
        pim_out_text(out, "nothing");
    } else {
        put_amount(out, blocks, leaks->bytes - leaks->python_bytes);
    }
    if (leaks->python_blocks != 0) {
        pim_out_text(out, "; CPython itself left ");
        put_amount(out, leaks->python_blocks, leaks->python_bytes);
    }
    pim_out_text(out, "\n");
    if (blocks != 0) {
        put_rows(out, leaks);
    }
}

// --- JSON ------------------------------------------------------------------

static void
put_sums(pim_out *out, uint64_t blocks, uint64_t bytes)
{
    pim_out_printf(out, "\"blocks\": %llu, \"bytes\": %llu",
                   (unsigned long long)blocks, (unsigned long long)bytes);
}

static void
put_leak(pim_out *out, const pimalloc_leak *leak)
{
    unsigned each = block_bytes(leak->size_class);
    pim_out_printf(out, "{\"domain\": \"%s\", \"size_class\": %d, ",
                   pim_domain_names[leak->domain], leak->size_class);
    if (each != 0) {
        pim_out_printf(out, "\"block_bytes\": %u, ", each);
    } else {
        pim_out_text(out, "\"block_bytes\": null, ");
    }
    pim_out_text(out, "\"type\": ");
    if (leak->type != NULL) {
        pim_out_json_string(out, leak->type);
    } else {
        pim_out_text(out, "null");
    }
    pim_out_printf(out, ", \"pythons\": %s, ",
                   leak->is_pythons ? "true" : "false");
    put_sums(out, leak->blocks, leak->bytes);
    pim_out_text(out, "}");
}

static void
put_json(pim_out *out, const pimalloc_leaks *leaks)
{
    pim_out_printf(out,
                   "{\"schema\": \"pimalloc-leaks\", \"version\": %d, \"pid\": "
                   "%ld, \"interpreter\": %lld, \"generation\": %u, ",
                   SCHEMA_VERSION, (long)getpid(), (long long)leaks->interp,
                   leaks->generation);
    put_sums(out, leaks->blocks, leaks->bytes);
    pim_out_text(out, ", \"pythons\": {");
    put_sums(out, leaks->python_blocks, leaks->python_bytes);
    pim_out_text(out, "}, \"more\": {");
    put_sums(out, leaks->more_blocks, leaks->more_bytes);
    pim_out_text(out, "}, \"leaks\": [");
    for (size_t i = 0; i < leaks->count; i++) {
        pim_out_text(out, i == 0 ? "" : ", ");
        put_leak(out, &leaks->leaks[i]);
    }
    pim_out_text(out, "]}\n");
}

int
pim_leaks_write(int fd, const pimalloc_leaks *leaks, bool as_json)
{
    pim_out out;
    pim_out_open_fd(&out, fd);
    if (as_json) {
        put_json(&out, leaks);
    } else {
        put_text(&out, leaks);
    }
    return pim_out_finish(&out);
}
