// faults.h -- the rules of PIMALLOC_FAULTS.

#ifndef PIM_API_FAULTS_H
#define PIM_API_FAULTS_H

#include "api/env_options.h"

// Python is installed and about to be initialised.  Outside the gate.
void pim_faults_start(const pim_options *options);

// Writes a line for each rule: what it did so far.  Outside the gate.
void pim_faults_tell(void);

#endif // PIM_API_FAULTS_H
