# Finds CPython 3.12 to 3.15 with headers.
#
#   PIM_PYTHON_MAIN      the Python of the demo; an id such as py3.13.0
#   PIM_PYTHON_INCLUDE   its headers, which src/cpython takes types from
#   PIM_TEST_PYTHONS     ids of the Pythons that the embed tests run on
#   PIM_<id>_<what>      VERSION, EXECUTABLE, INCLUDE, STDLIB, LINK (what an
#                        embedding program links)
#
# Order: -DPython_EXECUTABLE=, python3.X and python3 on PATH (newest first),
# then pyenv's versions.  A candidate counts only if it runs: pyenv's shims lie
# on PATH for versions that are not switched on.

set(Python_EXECUTABLE "" CACHE FILEPATH "The CPython to build for (default: the newest found)")
set(PIMALLOC_TEST_PYTHONS "all" CACHE STRING
  "Interpreters the embed tests run on: \"all\" that are found, or a list of executables")
set(PIM_PYTHON_OLDEST 312)
set(PIM_PYTHON_NEWEST 315)

# Runs one candidate.  If it will do, sets py_id and appends it to PIM_PYTHONS,
# else empties py_id and says why in PIM_PYTHON_NOTES.  A macro, for it sets a
# handful of variables for each Python.
macro(pim_consider_python candidate)
  set(py_id "")
  execute_process(COMMAND "${candidate}" "${PROJECT_SOURCE_DIR}/cmake/python_info.py"
    RESULT_VARIABLE failed OUTPUT_VARIABLE answer ERROR_QUIET)
  if(failed)
    list(APPEND PIM_PYTHON_NOTES "${candidate}: does not run")
  else()
    foreach(key EXECUTABLE VERSION IMPLEMENTATION HEX DEBUG FREE_THREADED INCLUDE
            SHARED STATIC STATIC_FLAGS STDLIB)
      string(REGEX MATCH "(^|\n)${key}=([^\n]*)" unused "${answer}")
      set(py_${key} "${CMAKE_MATCH_2}")
    endforeach()
    set(py_name "${py_EXECUTABLE}: ${py_IMPLEMENTATION} ${py_VERSION}")
    if(py_EXECUTABLE IN_LIST PIM_PYTHONS_SEEN)
      set(py_id "${PIM_ID_OF_${py_EXECUTABLE}}") # met before by another name
    elseif(NOT py_IMPLEMENTATION STREQUAL "CPython")
      list(APPEND PIM_PYTHON_NOTES "${py_name}, not CPython")
    elseif(py_HEX LESS PIM_PYTHON_OLDEST)
      list(APPEND PIM_PYTHON_NOTES "${py_name}, too old")
    elseif(py_HEX GREATER PIM_PYTHON_NEWEST)
      list(APPEND PIM_PYTHON_NOTES "${py_name}, newer than pimalloc knows")
    elseif(py_FREE_THREADED)
      list(APPEND PIM_PYTHON_NOTES "${py_name}, a free-threaded build")
    elseif(NOT py_INCLUDE)
      list(APPEND PIM_PYTHON_NOTES "${py_name}, has no Python.h (its -dev package is missing)")
    else()
      set(py_id "py${py_VERSION}")
      if(py_DEBUG)
        string(APPEND py_id "d")
      endif()
      while(py_id IN_LIST PIM_PYTHONS)
        string(APPEND py_id "-2") # the same version twice, in two places
      endwhile()
      set(PIM_ID_OF_${py_EXECUTABLE} "${py_id}")
      set(PIM_${py_id}_EXECUTABLE "${py_EXECUTABLE}")
      set(PIM_${py_id}_VERSION "${py_VERSION}")
      set(PIM_${py_id}_INCLUDE "${py_INCLUDE}")
      set(PIM_${py_id}_STDLIB "${py_STDLIB}")
      if(py_SHARED)
        set(PIM_${py_id}_LINK "${py_SHARED}")
      elseif(py_STATIC)
        separate_arguments(py_STATIC_FLAGS UNIX_COMMAND "${py_STATIC_FLAGS}")
        set(PIM_${py_id}_LINK "${py_STATIC};${py_STATIC_FLAGS};-Wl,--export-dynamic")
      endif()
      list(APPEND PIM_PYTHONS "${py_id}")
    endif()
    list(APPEND PIM_PYTHONS_SEEN "${py_EXECUTABLE}")
  endif()
endmacro()

# Every place a Python may be, in the order of preference.  Debug builds come
# last, so that none becomes the main one by chance.
function(pim_python_candidates out)
  string(REPLACE ":" ";" dirs "$ENV{PATH}")
  list(REMOVE_DUPLICATES dirs)
  set(release "")
  set(debug "")
  foreach(minor RANGE 15 12 -1)
    foreach(dir IN LISTS dirs)
      list(APPEND release "${dir}/python3.${minor}")
      list(APPEND debug "${dir}/python3.${minor}d")
    endforeach()
  endforeach()
  list(TRANSFORM dirs APPEND "/python3")
  set(pyenv "$ENV{PYENV_ROOT}")
  if(NOT pyenv)
    set(pyenv "$ENV{HOME}/.pyenv")
  endif()
  file(GLOB versions "${pyenv}/versions/3.*")
  list(SORT versions COMPARE NATURAL ORDER DESCENDING)
  list(TRANSFORM versions APPEND "/bin/python3")
  set(${out} ${release} ${dirs} ${versions} ${debug} PARENT_SCOPE)
endfunction()

set(PIM_PYTHONS "")
set(PIM_PYTHONS_SEEN "")
set(PIM_PYTHON_NOTES "")
if(Python_EXECUTABLE)
  pim_consider_python("${Python_EXECUTABLE}")
  if(NOT PIM_PYTHONS)
    message(FATAL_ERROR "Python_EXECUTABLE will not do. ${PIM_PYTHON_NOTES}")
  endif()
endif()
pim_python_candidates(candidates)
foreach(candidate IN LISTS candidates)
  if(EXISTS "${candidate}" AND (NOT PIM_PYTHONS OR PIMALLOC_TEST_PYTHONS STREQUAL "all"))
    pim_consider_python("${candidate}")
  endif()
endforeach()

list(REMOVE_DUPLICATES PIM_PYTHON_NOTES)
if(NOT PIM_PYTHONS)
  list(JOIN PIM_PYTHON_NOTES "\n  " notes)
  if(NOT notes)
    set(notes "no python3 at all")
  endif()
  message(FATAL_ERROR
    "No CPython 3.12 to 3.15 with headers was found. Found on PATH and under pyenv:\n"
    "  ${notes}\n"
    "Install one, for example the packages python3.13 and python3.13-dev of "
    "Debian 13 or newer, or a shared build by pyenv:\n"
    "  PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install 3.13\n"
    "or name one with -DPython_EXECUTABLE=/path/of/python3.")
endif()

# The first one that programs can embed; any has the types that we compile with.
list(GET PIM_PYTHONS 0 PIM_PYTHON_MAIN)
foreach(id IN LISTS PIM_PYTHONS)
  if(PIM_${id}_LINK)
    set(PIM_PYTHON_MAIN "${id}")
    break()
  endif()
endforeach()
set(PIM_PYTHON_INCLUDE "${PIM_${PIM_PYTHON_MAIN}_INCLUDE}")

set(PIM_TEST_PYTHONS "${PIM_PYTHONS}")
if(NOT PIMALLOC_TEST_PYTHONS STREQUAL "all")
  set(PIM_TEST_PYTHONS "")
  foreach(candidate IN LISTS PIMALLOC_TEST_PYTHONS)
    pim_consider_python("${candidate}")
    if(NOT py_id)
      message(FATAL_ERROR "PIMALLOC_TEST_PYTHONS: ${candidate} will not do. ${PIM_PYTHON_NOTES}")
    endif()
    list(APPEND PIM_TEST_PYTHONS "${py_id}")
  endforeach()
endif()
foreach(id IN LISTS PIM_PYTHONS)
  message(STATUS "Python: ${PIM_${id}_EXECUTABLE} (${PIM_${id}_VERSION})")
endforeach()

# pim_use_python(<target> <id>): what is compiled with this Python's header.
function(pim_use_python target id)
  target_include_directories(${target} SYSTEM PRIVATE "${PIM_${id}_INCLUDE}")
  # Debian's headers of debug builds are links to those of the release builds;
  # gcc would follow them and take the release's pyconfig.h.
  target_compile_options(${target} PRIVATE
    $<$<C_COMPILER_ID:GNU>:-fno-canonical-system-headers>)
  target_compile_definitions(${target} PRIVATE
    PIM_TEST_PYTHON="${PIM_${id}_EXECUTABLE}" PIM_TEST_STDLIB="${PIM_${id}_STDLIB}")
endfunction()

# pim_embed_python(<target> <id>): `target` becomes a program with Python in it.
function(pim_embed_python target id)
  pim_use_python(${target} ${id})
  target_link_libraries(${target} PRIVATE ${PIM_${id}_LINK} Threads::Threads m)
endfunction()
