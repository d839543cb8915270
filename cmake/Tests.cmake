# How a source under tests/ becomes a CTest program.

# Environment of every test.  LeakSanitizer stays on for the core; a Python
# never frees everything (DETECT_LEAKS OFF).
set(PIM_TEST_ENV "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1"
  "UBSAN_OPTIONS=print_stacktrace=1")

# Tests that depend on what mimalloc does run once more with each other version.
set(PIM_MIMALLOC_TESTS
  "^(mi_|unit_(large|extent|raw_tag)$|fault_kept$|embed_(install|raw)_)")

# Long ones begin first, or the last of them would run alone.
set(PIM_LONG_TESTS "^(model_random$|thread_retire$|embed_(limits|fork|storm|interpreters|lives)_)")

# pim_add_test(<test> <target> LABEL <label> [NO_LEAK_CHECK]
#              [ARGUMENTS ...])
function(pim_add_test test target)
  cmake_parse_arguments(arg "NO_LEAK_CHECK" "LABEL" "ARGUMENTS" ${ARGN})
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
  set_tests_properties(${test} PROPERTIES LABELS ${arg_LABEL}
    ENVIRONMENT "${asan};${PIM_TEST_ENV}")
  if(test MATCHES "${PIM_LONG_TESTS}")
    set_tests_properties(${test} PROPERTIES COST 10)
  endif()
  if(test MATCHES "${PIM_MIMALLOC_TESTS}")
    foreach(version IN LISTS PIM_MIMALLOC_OTHERS)
      add_test(NAME ${test}_mimalloc${version}
        COMMAND ${PIM_TEST_LAUNCHER} $<TARGET_FILE:${target}> ${arg_ARGUMENTS})
      set_tests_properties(${test}_mimalloc${version} PROPERTIES
        LABELS ${arg_LABEL}
        ENVIRONMENT "${asan};${PIM_TEST_ENV};PIMALLOC_MIMALLOC=${PIM_MIMALLOC_${version}}")
    endforeach()
  endif()
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
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/${folder}/test_*.c")
  foreach(source IN LISTS sources)
    get_filename_component(name "${source}" NAME_WE)
    string(REPLACE "test_" "${folder}_" name "${name}")
    add_executable(${name} "${source}")
    target_link_libraries(${name} PRIVATE pim_core pim_test_support)
    pim_add_test(${name} ${name} LABEL ${folder})
  endforeach()
endfunction()

# Embed tests that call functions which the shared library hides.
set(PIM_STATIC_TESTS "^embed_frames_")

# What an embed test is compiled with, and the library.
function(pim_embed_flags name)
  set(library pimalloc::pimalloc)
  if(name MATCHES "${PIM_STATIC_TESTS}")
    set(library pimalloc::static)
  endif()
  target_link_libraries(${name} PRIVATE ${library} pim_warnings pim::cmocka)
  target_include_directories(${name} PRIVATE
    "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/tests"
    "${PROJECT_SOURCE_DIR}/tests/embed")
  target_compile_definitions(${name} PRIVATE
    PIM_TEST_FOLDER="${PROJECT_SOURCE_DIR}/tests/embed"
    PIM_TEST_OLD_MIMALLOC="$<TARGET_FILE:old_mimalloc>")
  add_dependencies(${name} old_mimalloc)
endfunction()

# A program over the shared library with one of the Pythons in it.
function(pim_embed_program name id)
  add_executable(${name} ${ARGN})
  pim_embed_flags(${name})
  pim_embed_python(${name} ${id})
endfunction()

# Every tests/<folder>/test_*.c is a test on each Python, with the helpers in
# tests/<folder>/support.  Other .c files there are programs for measuring,
# built for each Python and run by nobody: bin/cycles_py3.13.0.
function(pim_embed_tests folder)
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
      if(stem MATCHES "^test_(fork|fork_waits|storm)$" AND PIMALLOC_SANITIZE MATCHES "address")
        continue() # the sanitizer's own malloc hangs in children of busy processes
      endif()
      if(stem MATCHES "^test_(.*)$")
        set(name "${folder}_${CMAKE_MATCH_1}_${id}")
        pim_embed_program(${name} ${id} "${source}" ${helpers})
        pim_add_test(${name} ${name} LABEL ${folder})
      else()
        pim_embed_program(${stem}_${id} ${id} "${source}")
      endif()
    endforeach()
  endforeach()
endfunction()

# pim_late_tests(<folder> <stem>...): the named tests of the folder
# once more on a libpython that is loaded late, and <folder>/late/reload.c, a host
# that closes it.
function(pim_late_tests folder)
  set(dir "${PROJECT_SOURCE_DIR}/tests/${folder}")
  file(GLOB helpers CONFIGURE_DEPENDS "${dir}/support/*.c")
  foreach(program host reload)
    add_executable(late_${program} "${dir}/late/${program}.c")
    target_include_directories(late_${program} PRIVATE
      "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/tests")
    target_link_libraries(late_${program} PRIVATE pim_warnings Threads::Threads ${CMAKE_DL_LIBS})
  endforeach()
  # In the program from its start, before there is a Python.
  target_link_libraries(late_host PRIVATE -Wl,--no-as-needed pimalloc::pimalloc)
  foreach(id IN LISTS PIM_TEST_PYTHONS)
    if(NOT PIM_${id}_LINK MATCHES "^[^;]*\\.so[^;]*$")
      continue()
    endif()
    foreach(stem IN LISTS ARGN)
      set(name "${folder}_late_${stem}_${id}")
      add_library(${name} MODULE "${dir}/test_${stem}.c" ${helpers})
      set_target_properties(${name} PROPERTIES C_VISIBILITY_PRESET default)
      pim_embed_flags(${name})
      pim_use_python(${name} ${id})
      add_dependencies(late_host ${name})
      pim_add_test(${name} late_host LABEL ${folder})
      set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
        "PIM_TEST_LIBPYTHON=${PIM_${id}_LINK}" "PIM_TEST_MODULE=$<TARGET_FILE:${name}>")
    endforeach()
    add_library(plug_in_${id} MODULE "${dir}/late/plug_in.c")
    target_link_libraries(plug_in_${id} PRIVATE pimalloc::static pim_warnings)
    pim_embed_python(plug_in_${id} ${id})
    add_dependencies(late_reload pimalloc plug_in_${id})
    pim_add_test(${folder}_late_reload_${id} late_reload LABEL ${folder}
      ARGUMENTS "${PIM_${id}_LINK}" $<TARGET_FILE:pimalloc> $<TARGET_FILE:plug_in_${id}>)
  endforeach()
endfunction()
