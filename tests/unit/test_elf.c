// test_elf.c -- what a library's file defines, whatever the file is.

#define _GNU_SOURCE

#include <elf.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mi/elf.h"
#include "support/expect.h"
#include "support/library.h"
#include "support/random.h"

static char library[PATH_MAX];
static char *bytes;
static size_t size;

static const char *const both[] = {"mi_version", "mi_heap_new"};

static int
read_library(void **state)
{
    (void)state;
    library_path(library);
    FILE *file = fopen(library, "rb");
    EXPECT_NOT_NULL(file);
    EXPECT_EQ(fseek(file, 0, SEEK_END), 0);
    size = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(size);
    EXPECT_EQ(fread(bytes, 1, size, file), size);
    fclose(file);
    return 0;
}

static int
forget_library(void **state)
{
    (void)state;
    free(bytes);
    return 0;
}

static bool
defines(const char *path, const char *name)
{
    return pim_elf_defines(path, &name, 1);
}

// Whether a file of these bytes would do.
static bool
file_of_defines(const char *content, size_t length)
{
    char path[] = "/tmp/pim_elf_XXXXXX";
    int fd = mkstemp(path);
    EXPECT_GE(fd, 0);
    EXPECT_EQ(write(fd, content, length), length);
    close(fd);
    bool all = pim_elf_defines(path, both, PIM_ARRAY_LEN(both));
    unlink(path);
    return all;
}

TEST(library_defines_what_it_exports)
{
    EXPECT(defines(library, "mi_version"));
    EXPECT(defines(library, "mi_any_heap_contains"));
    EXPECT(pim_elf_defines(library, both, PIM_ARRAY_LEN(both)));
}

TEST(library_does_not_define_what_it_lacks_or_only_uses)
{
    const char *const one_lacks[] = {"mi_version", "mi_no_such_function"};
    EXPECT(!defines(library, "mi_no_such_function"));
    EXPECT(!defines(library, "mi_versio"));
    EXPECT(!defines(library, ""));
    EXPECT(!defines(library, "mmap"));
    EXPECT(!pim_elf_defines(library, one_lacks, PIM_ARRAY_LEN(one_lacks)));
}

TEST(what_is_no_library_defines_nothing)
{
    EXPECT(!defines("/no/such/file", "mi_version"));
    EXPECT(!defines("/", "mi_version"));
    EXPECT(!defines("/dev/null", "mi_version"));
    EXPECT(!defines("/proc/self/exe", "mi_no_such_function"));
    EXPECT(!file_of_defines("", 0));
    EXPECT(!file_of_defines("/* GNU ld script */", 19));
}

TEST(other_kind_of_library_is_not_taken)
{
    EXPECT(file_of_defines(bytes, size));
    ElfW(Ehdr) *header = (void *)bytes;
    header->e_machine ^= 1;
    EXPECT(!file_of_defines(bytes, size));
    header->e_machine ^= 1;
    header->e_ident[EI_CLASS] ^= 3;
    EXPECT(!file_of_defines(bytes, size));
    header->e_ident[EI_CLASS] ^= 3;
    header->e_type = ET_EXEC;
    EXPECT(!file_of_defines(bytes, size));
    header->e_type = ET_DYN;
    EXPECT(file_of_defines(bytes, size));
}

TEST(cut_off_library_is_read_no_further_than_it_goes)
{
    for (size_t length = 0; length < 4096; length += 37) {
        EXPECT(!file_of_defines(bytes, length));
    }
    for (size_t length = 4096; length < size; length += 4093) {
        file_of_defines(bytes, length); // comes back
    }
}

TEST(damaged_library_is_survived)
{
    random_state r = random_from(random_seed());
    char *copy = malloc(size);
    for (unsigned round = 0; round < 400; round++) {
        memcpy(copy, bytes, size);
        // Mostly where the tables are.
        size_t within = round % 2 == 0 ? 1024 : size / 8;
        for (unsigned i = 0; i < 16; i++) {
            copy[random_below(&r, within)] = (char)random_next(&r);
        }
        memcpy(copy, bytes, EI_NIDENT); // it passes as a library
        file_of_defines(copy, size);
    }
    free(copy);
}

int
main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(library_defines_what_it_exports),
        CASE(library_does_not_define_what_it_lacks_or_only_uses),
        CASE(what_is_no_library_defines_nothing),
        CASE(other_kind_of_library_is_not_taken),
        CASE(cut_off_library_is_read_no_further_than_it_goes),
        CASE(damaged_library_is_survived),
    };
    return RUN(cases, read_library, forget_library);
}
