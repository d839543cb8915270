// epoch.c -- see epoch.h.

#include "platform/epoch.h"

_Atomic uint64_t pim_epoch = 1;
