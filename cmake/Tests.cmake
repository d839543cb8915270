# How a source under tests/ becomes a CTest program.

# Environment of every test.  LeakSanitizer stays on for the core; a Python
# never frees everything (DETECT_LEAKS OFF).
set(PIM_TEST_ENV "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1"
  "UBSAN_OPTIONS=print_stacktrace=1")

# pim_add_test(<test> <target> LABEL <label> TIMEOUT <seconds> [NO_LEAK_CHECK]
#              [ARGUMENTS ...])
function(pim_add_test test target)
  cmake_parse_arguments(arg "NO_LEAK_CHECK" "LABEL;TIMEOUT" "ARGUMENTS" ${ARGN})
  add_test(NAME ${test}
    COMMAND ${PIM_TEST_LAUNCHER} $<TARGET_FILE:${target}> ${arg_ARGUMENTS})
  set(asan "ASAN_OPTIONS=detect_stack_use_after_return=1")
  if(arg_LABEL STREQUAL "embed")
    # The tests ask for the impossible, and for memory to be reused, of a raw
    # domain that is libc's.
    set(asan "ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=0")
  elseif(arg_NO_LEAK_CHECK)
    string(APPEND asan ":detect_leaks=0")
  endif()
  set_tests_properties(${test} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT}
    ENVIRONMENT "${asan};${PIM_TEST_ENV}")
endfunction()

# Every tests/<folder>/test_*.c is a program over the core's objects, with the
# helpers of tests/support.
file(GLOB PIM_TEST_SUPPORT CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/support/*.c")
add_library(pim_test_support OBJECT ${PIM_TEST_SUPPORT} "${PROJECT_BINARY_DIR}/src/empty.c")
target_link_libraries(pim_test_support PUBLIC pim_library_flags pim::cmocka)
target_include_directories(pim_test_support PUBLIC "${PROJECT_SOURCE_DIR}/tests")
# What the core asks of the system goes through tests/support/hostile.c.
set(PIM_HOSTILE_CALLS calloc clock_gettime free getrlimit madvise malloc mmap mprotect mremap munmap
  nanosleep prctl process_vm_readv pthread_setspecific realloc sched_yield syscall sysconf)
list(TRANSFORM PIM_HOSTILE_CALLS PREPEND "-Wl,--wrap=" OUTPUT_VARIABLE wraps)
target_link_options(pim_test_support INTERFACE ${wraps})

function(pim_core_tests folder)
  cmake_parse_arguments(arg "" "TIMEOUT" "" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/${folder}/test_*.c")
  foreach(source IN LISTS sources)
    get_filename_component(name "${source}" NAME_WE)
    string(REPLACE "test_" "${folder}_" name "${name}")
    add_executable(${name} "${source}")
    target_link_libraries(${name} PRIVATE pim_core pim_test_support)
    pim_add_test(${name} ${name} LABEL ${folder} TIMEOUT ${arg_TIMEOUT})
  endforeach()
endfunction()

# A program over the shared library with one of the Pythons in it.
function(pim_embed_program name id)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE pimalloc::pimalloc pim_warnings pim::cmocka)
  target_include_directories(${name} PRIVATE
    "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/tests"
    "${PROJECT_SOURCE_DIR}/tests/embed")
  target_compile_definitions(${name} PRIVATE
    PIM_TEST_OLD_MIMALLOC="$<TARGET_FILE:old_mimalloc>")
  add_dependencies(${name} old_mimalloc)
  pim_embed_python(${name} ${id})
endfunction()

# Every tests/<folder>/test_*.c is a test on each Python, with the helpers in
# tests/<folder>/support.  Other .c files there are programs for measuring,
# built for each Python and run by nobody: bin/cycles_py3.13.0.
function(pim_embed_tests folder)
  cmake_parse_arguments(arg "" "TIMEOUT" "" ${ARGN})
  set(dir "${PROJECT_SOURCE_DIR}/tests/${folder}")
  file(GLOB sources CONFIGURE_DEPENDS "${dir}/*.c")
  file(GLOB helpers CONFIGURE_DEPENDS "${dir}/support/*.c")
  foreach(id IN LISTS PIM_TEST_PYTHONS)
    if(NOT PIM_${id}_LINK)
      message(STATUS "No libpython for ${PIM_${id}_EXECUTABLE}: no embed tests on it")
      continue()
    endif()
    foreach(source IN LISTS sources)
      get_filename_component(stem "${source}" NAME_WE)
      if(stem MATCHES "^test_(fork|storm)$" AND PIMALLOC_SANITIZE MATCHES "address")
        continue() # the sanitizer's own malloc hangs in children of busy processes
      endif()
      if(stem MATCHES "^test_(.*)$")
        set(name "${folder}_${CMAKE_MATCH_1}_${id}")
        pim_embed_program(${name} ${id} "${source}" ${helpers})
        pim_add_test(${name} ${name} LABEL ${folder} TIMEOUT ${arg_TIMEOUT})
      else()
        pim_embed_program(${stem}_${id} ${id} "${source}")
      endif()
    endforeach()
  endforeach()
endfunction()

# One program without a libpython of its own, which loads each Python's.
function(pim_late_load_tests source)
  cmake_parse_arguments(arg "" "TIMEOUT" "" ${ARGN})
  add_executable(late_load "${source}")
  target_link_libraries(late_load PRIVATE pim_warnings ${CMAKE_DL_LIBS})
  add_dependencies(late_load pimalloc)
  foreach(id IN LISTS PIM_TEST_PYTHONS)
    if(PIM_${id}_LINK MATCHES "^[^;]*\\.so[^;]*$")
      pim_add_test(embed_late_load_${id} late_load LABEL embed TIMEOUT ${arg_TIMEOUT}
        ARGUMENTS "${PIM_${id}_LINK}" $<TARGET_FILE:pimalloc>)
    endif()
  endforeach()
endfunction()
