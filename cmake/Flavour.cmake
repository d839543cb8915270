# What one flavour of the build differs in: sanitizers, assertions, LTO.
# Set as directory options, so that CMake's own probes stay plain.

# Messages name a source as src/heap/heap.c, wherever the tree lies.
add_compile_options("-fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=")

if(PIMALLOC_SANITIZE)
  add_compile_options(-fsanitize=${PIMALLOC_SANITIZE} -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=${PIMALLOC_SANITIZE})
  if(PIMALLOC_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=all)
  endif()
  # ThreadSanitizer does not understand fences, and gcc says so.  It can only
  # report too much for it, never too little, so fences may stay.
  if(PIMALLOC_SANITIZE MATCHES "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)
  endif()
endif()

if(PIMALLOC_ASSERTS)
  add_compile_options(-UNDEBUG)
endif()

# What a test program is run through.  ThreadSanitizer of gcc 12 and clang 14
# cannot place its shadow where the kernel randomises addresses by more than 28
# bits; without randomisation it always can.
set(PIM_TEST_LAUNCHER "")
if(PIMALLOC_SANITIZE MATCHES "thread")
  execute_process(COMMAND setarch -R true RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
  if(NOT failed)
    set(PIM_TEST_LAUNCHER setarch -R)
  endif()
endif()

# LTO in release builds.  Only gcc: it can write objects that carry both LTO
# data and machine code, which the static library needs so that programs built
# without LTO, or by another compiler, can link it.
set(PIM_LTO OFF)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND CMAKE_C_COMPILER_ID STREQUAL "GNU"
   AND NOT PIMALLOC_SANITIZE)
  include(CheckIPOSupported)
  check_ipo_supported(RESULT PIM_LTO LANGUAGES C OUTPUT unused)
endif()
