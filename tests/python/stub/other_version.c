// A pimalloc of another version, for test_import.py.

int pimalloc_version(void);

__attribute__((visibility("default"))) int
pimalloc_version(void)
{
    return 123456;
}
