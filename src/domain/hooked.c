// hooked.c -- see hooked.h.

#include "domain/hooked.h"

_Atomic(const pim_request_ops *) pim_hooked;
