// trace_begin.h -- a trace that begins by itself.

#ifndef PIM_HOOKS_TRACE_BEGIN_H
#define PIM_HOOKS_TRACE_BEGIN_H

// Begins a trace of all, with so many frames each, as soon as Python code runs in
// the main interpreter.  Once; at install, outside the gate.
void pim_trace_when_python_runs(unsigned frames);

#endif // PIM_HOOKS_TRACE_BEGIN_H
