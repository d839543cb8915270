// gate_state.c -- the gate's data; see gate_state.h.

#include "platform/gate_state.h"

PIM_TLS pim_self pim_gate_self;
pim_gate_state pim_gate = {.fence_on_enter = true};
