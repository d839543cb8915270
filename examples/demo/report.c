// report.c -- what the demo prints: tables for people, JSON for programs.

#include "demo.h"

#define MIB 1048576.0
#define KIB 1024.0

// Writes `number` with a comma after every three digits.  Returns `text`, which
// holds at least 32 characters.
static char *
grouped(char *text, uint64_t number)
{
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%" PRIu64, number);
    char *out = text;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            *out++ = ',';
        }
        *out++ = digits[i];
    }
    *out = '\0';
    return text;
}

static uint64_t
live_blocks(const pimalloc_snapshot *snapshot)
{
    return snapshot->domain[PIMALLOC_MEM].live_blocks +
           snapshot->domain[PIMALLOC_OBJ].live_blocks;
}

static uint64_t
live_bytes(const pimalloc_snapshot *snapshot)
{
    return snapshot->domain[PIMALLOC_MEM].live_bytes +
           snapshot->domain[PIMALLOC_OBJ].live_bytes;
}

// The sums of what the workers count.
static struct worker
total(const struct run *run)
{
    struct worker sum = {0};
    for (int i = 0; i < run->interpreters; i++) {
        const struct worker *worker = &run->workers[i];
        sum.files += worker->files;
        sum.lines += worker->lines;
        for (int j = 0; j < OUTCOMES; j++) {
            sum.outcomes[j] += worker->outcomes[j];
        }
    }
    return sum;
}

static void
print_what_was_measured(const struct run *run)
{
    char text[32];
    struct worker sum = total(run);
    int version = pimalloc_version();
    if (run->on_pimalloc) {
        printf("pimalloc %d.%d.%d under ", version / 10000, version / 100 % 100,
               version % 100);
    }
    printf("CPython %s, %s\n", run->version, run->build);
    printf("  (%s)\n", run->executable);
    printf("%d interpreters, each with its own GIL and thread, shared out the "
           "%s .py files (%.2f MiB)\n",
           run->interpreters, grouped(text, run->files.count),
           (double)run->files.bytes / MIB);
    printf("  below %s\n", run->directory);
    if (sum.outcomes[REFUSED] != 0) {
        printf("%ld of the files are no valid Python; they count by the kind "
               "of their error\n",
               sum.outcomes[REFUSED]);
    }
    if (sum.outcomes[UNREADABLE] != 0) {
        printf("%ld of the files could not be read\n",
               sum.outcomes[UNREADABLE]);
    }
}

static void
print_work(const char *name, const struct worker *worker, double seconds)
{
    char files[32];
    char lines[32];
    printf("%11s %7s %9s %8.2f", name, grouped(files, (uint64_t)worker->files),
           grouped(lines, (uint64_t)worker->lines), seconds);
}

static void
print_worker_memory(const struct worker *worker)
{
    char text[32];
    const pimalloc_usage *mem = &worker->working.domain[PIMALLOC_MEM];
    const pimalloc_usage *obj = &worker->working.domain[PIMALLOC_OBJ];
    printf(" %7.1f %6.1f %7.1f %6.1f %10s", (double)mem->live_bytes / MIB,
           (double)mem->peak_bytes / MIB, (double)obj->live_bytes / MIB,
           (double)obj->peak_bytes / MIB,
           grouped(text, live_blocks(&worker->working)));
    if (worker->left.state == PIMALLOC_ENDED) {
        printf(" %10.1f %8s", (double)live_bytes(&worker->left) / KIB,
               grouped(text, live_blocks(&worker->left)));
    } else {
        printf(" %10s %8s", "?", "?"); // CPython 3.14.0 never frees it
    }
}

static void
print_table_head(const struct run *run)
{
    if (!run->on_pimalloc) {
        printf("\n%11s %7s %9s %8s\n", "interpreter", "files", "lines",
               "seconds");
        return;
    }
    printf("\n%53s%15s%11s%20s\n", "---- mem, MiB", "---- obj, MiB", "live",
           "-- left at its end");
    printf("%11s %7s %9s %8s %7s %6s %7s %6s %10s %10s %8s\n", "interpreter",
           "files", "lines", "seconds", "live", "peak", "live", "peak",
           "blocks", "KiB", "blocks");
}

static void
print_workers(const struct run *run)
{
    char id[24];
    bool kept = false;
    print_table_head(run);
    for (int i = 0; i < run->interpreters; i++) {
        const struct worker *worker = &run->workers[i];
        snprintf(id, sizeof(id), "%" PRId64, worker->id);
        print_work(id, worker, worker->ended - worker->began);
        if (run->on_pimalloc) {
            print_worker_memory(worker);
            kept = kept || worker->left.state != PIMALLOC_ENDED;
        }
        printf("\n");
    }
    struct worker sum = total(run);
    print_work("all", &sum, run->wall_seconds);
    printf("\n\n");
    if (run->on_pimalloc) {
        printf("live: when its work was done; mem and obj are CPython's "
               "allocation domains\n");
    }
    if (kept) {
        printf("?: this CPython has not freed the interpreter\n");
    }
}

void
report_text(const struct run *run)
{
    print_what_was_measured(run);
    print_workers(run);
    const pimalloc_usage *raw = &run->process.domain[PIMALLOC_RAW];
    if (run->on_pimalloc && run->process.raw_is_libc) {
        printf("raw domain, shared by all: left to libc with this CPython\n");
    } else if (run->on_pimalloc) {
        printf("raw domain, shared by all: %.1f MiB live, %.1f MiB at peak\n",
               (double)raw->live_bytes / MIB, (double)raw->peak_bytes / MIB);
    }
    printf("resident memory: %.1f MiB before the interpreters, %.1f MiB at "
           "peak, %.1f MiB after\n",
           (double)run->before_bytes / MIB, (double)run->peak_bytes / MIB,
           (double)run->after_bytes / MIB);
    printf("digest of the results: %016" PRIx64 "\n", run->digest);
    fflush(stdout); // the child takes as long again
}

static double
ratio(double ours, double theirs)
{
    return theirs > 0 ? ours / theirs : 0;
}

static void
print_pair(const char *what, const char *unit, double ours, double theirs)
{
    printf("%-33s %9.2f %-3s %13.2f %-3s %8.2f\n", what, ours, unit, theirs,
           unit, ratio(ours, theirs));
}

void
report_both_text(const struct run *run, const struct other_run *other)
{
    printf("\n%-33s %13s %17s %8s\n", "", "pimalloc", "CPython's own", "ratio");
    print_pair("wall time", "s", run->wall_seconds, other->wall_seconds);
    print_pair("processor time", "s", run->cpu_seconds, other->cpu_seconds);
    print_pair("resident at peak", "MiB", (double)run->peak_bytes / MIB,
               other->peak_bytes / MIB);
    print_pair("resident after interpreters ended", "MiB",
               (double)run->after_bytes / MIB, other->after_bytes / MIB);
    printf("%-30s %016" PRIx64 "  %016" PRIx64 " %8s\n",
           "digest of the results", run->digest, other->digest,
           run->digest == other->digest ? "same" : "DIFFERS");
}

static void
json_string(const char *name, const char *value)
{
    printf("\"%s\": \"", name);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\') {
            printf("\\%c", *value);
        } else if ((unsigned char)*value < ' ') {
            printf("\\u%04x", (unsigned)*value);
        } else {
            putchar(*value);
        }
    }
    printf("\", ");
}

static void
json_usage(const char *name, const pimalloc_usage *usage)
{
    printf(", \"%s\": {\"live_bytes\": %" PRIu64 ", \"live_blocks\": %" PRIu64
           ", \"peak_bytes\": %" PRIu64 ", \"peak_blocks\": %" PRIu64 "}",
           name, usage->live_bytes, usage->live_blocks, usage->peak_bytes,
           usage->peak_blocks);
}

static void
json_worker(const struct worker *worker)
{
    printf("{\"id\": %" PRId64 ", \"files\": %ld, \"lines\": %ld, "
           "\"seconds\": %.6f",
           worker->id, worker->files, worker->lines,
           worker->ended - worker->began);
    if (worker->run->on_pimalloc) {
        json_usage("mem", &worker->working.domain[PIMALLOC_MEM]);
        json_usage("obj", &worker->working.domain[PIMALLOC_OBJ]);
        printf(", \"ended\": %s, \"left_bytes\": %" PRIu64
               ", \"left_blocks\": %" PRIu64,
               worker->left.state == PIMALLOC_ENDED ? "true" : "false",
               live_bytes(&worker->left), live_blocks(&worker->left));
    }
    printf("}");
}

// One run as a JSON object.  child.c finds members by name; keep them unique.
void
report_json(const struct run *run)
{
    struct worker sum = total(run);
    printf("{");
    json_string("allocator", run->on_pimalloc ? "pimalloc" : "python");
    json_string("python", run->version);
    json_string("python_build", run->build);
    json_string("executable", run->executable);
    json_string("directory", run->directory);
    if (run->on_pimalloc) {
        printf("\"raw_is_libc\": %s",
               run->process.raw_is_libc ? "true" : "false");
        json_usage("raw", &run->process.domain[PIMALLOC_RAW]);
        printf(", ");
    }
    printf("\"files\": %zu, \"bytes\": %zu, \"lines\": %ld, \"refused\": %ld, "
           "\"unreadable\": %ld, \"interpreters\": [",
           run->files.count, run->files.bytes, sum.lines, sum.outcomes[REFUSED],
           sum.outcomes[UNREADABLE]);
    for (int i = 0; i < run->interpreters; i++) {
        printf(i > 0 ? ",\n  " : "\n  ");
        json_worker(&run->workers[i]);
    }
    printf("],\n \"wall_seconds\": %.6f, \"cpu_seconds\": %.6f, "
           "\"resident_before\": %zu, \"resident_peak\": %zu, "
           "\"resident_after\": %zu, "
           "\"digest\": \"%016" PRIx64 "\"}\n",
           run->wall_seconds, run->cpu_seconds, run->before_bytes,
           run->peak_bytes, run->after_bytes, run->digest);
}

void
report_both_json(const struct run *run, const struct other_run *other)
{
    printf("{\"pimalloc\": ");
    report_json(run);
    printf(",\"python\": %s,\"ratio\": {\"wall\": %.4f, \"cpu\": %.4f, "
           "\"peak\": %.4f, \"after\": %.4f}, \"same_digest\": %s}\n",
           other->json, ratio(run->wall_seconds, other->wall_seconds),
           ratio(run->cpu_seconds, other->cpu_seconds),
           ratio((double)run->peak_bytes, other->peak_bytes),
           ratio((double)run->after_bytes, other->after_bytes),
           run->digest == other->digest ? "true" : "false");
}
