# The strict set, for gcc and clang.  Interface target pim_warnings.
add_library(pim_warnings INTERFACE)
target_compile_options(pim_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wvla -Wformat=2 -Wpointer-arith
  -Wcast-qual -Wimplicit-fallthrough -Wdouble-promotion
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes;-Wold-style-definition>
  # We build as gnu11 and use its extensions knowingly.
  $<$<C_COMPILER_ID:Clang>:-Wno-gnu-zero-variadic-macro-arguments;-Wno-gnu-statement-expression>
  $<$<BOOL:${PIMALLOC_WERROR}>:-Werror>)
