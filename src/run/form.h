// form.h -- the value of --stats and --leaks: [=FORM][:FILE].

#ifndef PIM_RUN_FORM_H
#define PIM_RUN_FORM_H

#define PIM_FORMS 3

// Returns FORM or FORM:FILE as the library reads it, with an absolute FILE in a
// folder that exists.  value: what follows `option`, maybe "".  forms: the valid ones,
// of which the first is the default.  Exits with a message about a bad value.
const char *pim_form_read(const char *option, const char *value,
                          const char *const forms[PIM_FORMS]);

#endif // PIM_RUN_FORM_H
