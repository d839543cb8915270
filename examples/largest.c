// largest.c -- a hook in 40 lines: the largest request of one interpreter.
#include <Python.h>
#include <pimalloc/hooks.h>
#include <stdatomic.h>
#include <stdio.h>

static void *
see(void *ctx, const pimalloc_next *next, size_t size, int zero)
{
    _Atomic size_t *largest = ctx;
    size_t seen = atomic_load(largest);
    while (size > seen && !atomic_compare_exchange_weak(largest, &seen, size)) {
    }
    return pimalloc_next_alloc(next, size, zero); // or NULL: MemoryError
}

int
main(void)
{
    _Atomic size_t largest = 0;
    pimalloc_hook hook = {
        .size = sizeof(hook), .name = "largest", .ctx = &largest, .alloc = see};
    PyInterpreterConfig own = {.check_multi_interp_extensions = 1,
                               .gil = PyInterpreterConfig_OWN_GIL};
    PyThreadState *inside;
    pimalloc_install(NULL);
    Py_Initialize();
    PyThreadState *main_state = PyThreadState_Get();
    Py_NewInterpreterFromConfig(&inside, &own);
    int64_t id = PyInterpreterState_GetID(PyThreadState_GetInterpreter(inside));
    int handle = pimalloc_hook_push(&hook, id);
    PyRun_SimpleString("x = bytes(3 << 20)"); // seen
    Py_EndInterpreter(inside);
    PyThreadState_Swap(main_state);
    PyRun_SimpleString("y = bytes(5 << 20)"); // not: it is main's
    pimalloc_hook_pop(handle);
    printf("largest request of interpreter 1: %zu KiB\n", largest >> 10);
    return Py_FinalizeEx() < 0;
}
