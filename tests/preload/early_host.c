// early_host.c -- a program whose library has started Python (early.c).

#include <Python.h>

int early_status(void);

int
main(void)
{
    int status = early_status();
    if (status == 0) {
        status = PyRun_SimpleString("assert len(kept) == 20000; del kept\n");
    }
    return status != 0 || Py_FinalizeEx() != 0;
}
