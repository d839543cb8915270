# Finds libmimalloc 3.6 or newer, or fetches it.  Sets
#   PIM_MIMALLOC_LIBRARY  path of the shared library
#   PIM_MIMALLOC_VERSION  such as 3.7.0
#   PIM_MIMALLOC_FETCHED  whether it came from a package unpacked by us
#   PIM_MIMALLOC_OTHERS   versions besides, of which PIM_MIMALLOC_<version> is the
#                         path: the tests that depend on mimalloc run with each
#
# Only the file is needed: src/mi loads it at run time and declares what it
# uses.  A library is judged by what it does, never by its name: Debian 12 has
# 2.0, Debian 13 has 3.0.1 under the same SONAME as 3.6.

set(PIMALLOC_MIMALLOC "" CACHE FILEPATH "libmimalloc.so to use (default: search, then fetch)")

# Suites of Debian that have one.  The backport for Debian 13 needs only glibc
# 2.34, so it serves 12 too.
set(PIM_MIMALLOC_SUITES trixie-backports sid)

function(pim_build_mimalloc_probe probe)
  set(sources "${PROJECT_SOURCE_DIR}/cmake/mimalloc_version.c"
    "${PROJECT_SOURCE_DIR}/src/mi/self_test.c")
  set(is_built TRUE)
  foreach(source IN LISTS sources)
    if("${source}" IS_NEWER_THAN "${probe}") # or there is none
      set(is_built FALSE)
    endif()
  endforeach()
  if(is_built)
    return()
  endif()
  try_compile(compiled "${CMAKE_BINARY_DIR}/CMakeFiles/probe" SOURCES ${sources}
    CMAKE_FLAGS "-DINCLUDE_DIRECTORIES=${PROJECT_SOURCE_DIR}/src"
    LINK_LIBRARIES Threads::Threads ${CMAKE_DL_LIBS}
    OUTPUT_VARIABLE output COPY_FILE "${probe}")
  if(NOT compiled)
    message(FATAL_ERROR "cmake/mimalloc_version.c does not compile:\n${output}")
  endif()
endfunction()

# Sets ${out} to the path if `library` (a path or a SONAME) will do, and
# ${out}_version.
function(pim_try_mimalloc library out)
  set(${out} "" PARENT_SCOPE)
  set(probe "${CMAKE_BINARY_DIR}/CMakeFiles/mimalloc_version")
  pim_build_mimalloc_probe("${probe}")
  execute_process(COMMAND "${probe}" "${library}" RESULT_VARIABLE failed
    OUTPUT_VARIABLE answer ERROR_QUIET)
  if(failed OR NOT answer MATCHES "^([0-9]+) ([^\n]*)\n([^\n]*)\n$")
    return()
  endif()
  set(number ${CMAKE_MATCH_1})
  set(path "${CMAKE_MATCH_2}")
  set(lack "${CMAKE_MATCH_3}")
  if(lack)
    message(STATUS "mimalloc: ${path} ${lack} (version ${number}), not used")
    return()
  endif()
  # 30601 is 3.6.1.
  math(EXPR major "${number} / 10000")
  math(EXPR minor "${number} / 100 % 100")
  math(EXPR patch "${number} % 100")
  set(${out} "${path}" PARENT_SCOPE)
  set(${out}_version "${major}.${minor}.${patch}" PARENT_SCOPE)
endfunction()

# The one of a suite, fetched if need be.
function(pim_fetch_mimalloc suite out)
  set(${out} "" PARENT_SCOPE)
  pim_fetch_debian(mimalloc-${suite} ${suite} libmimalloc3)
  file(GLOB found "${PIM_FETCH_ROOT}/usr/lib/*/libmimalloc.so.3")
  if(PIM_FETCH_ROOT AND found)
    pim_try_mimalloc("${found}" library)
    set(${out} "${library}" PARENT_SCOPE)
    set(${out}_version "${library_version}" PARENT_SCOPE)
  endif()
endfunction()

function(pim_find_mimalloc)
  set(PIM_MIMALLOC_FETCHED FALSE PARENT_SCOPE)
  if(PIMALLOC_MIMALLOC)
    pim_try_mimalloc("${PIMALLOC_MIMALLOC}" library)
    if(NOT library)
      message(FATAL_ERROR "PIMALLOC_MIMALLOC=${PIMALLOC_MIMALLOC} is not a mimalloc 3.6 or newer")
    endif()
    set(PIM_MIMALLOC_LIBRARY "${library}" PARENT_SCOPE)
    set(PIM_MIMALLOC_VERSION "${library_version}" PARENT_SCOPE)
    return()
  endif()

  foreach(soname libmimalloc.so.3 libmimalloc.so)
    pim_try_mimalloc(${soname} library)
    if(library)
      set(PIM_MIMALLOC_LIBRARY "${library}" PARENT_SCOPE)
      set(PIM_MIMALLOC_VERSION "${library_version}" PARENT_SCOPE)
      return()
    endif()
  endforeach()

  set(PIM_MISSING_WHY "fetching is switched off (PIMALLOC_FETCH=OFF)")
  if(PIMALLOC_FETCH)
    foreach(suite IN LISTS PIM_MIMALLOC_SUITES)
      pim_fetch_mimalloc(${suite} library)
      if(library)
        set(PIM_MIMALLOC_LIBRARY "${library}" PARENT_SCOPE)
        set(PIM_MIMALLOC_VERSION "${library_version}" PARENT_SCOPE)
        set(PIM_MIMALLOC_FETCHED TRUE PARENT_SCOPE)
        return()
      endif()
    endforeach()
    set(PIM_MISSING_WHY "fetching it failed (see above)")
  endif()
  pim_dependency_missing("libmimalloc 3.6 or newer" "libmimalloc3 (>= 3.6, in trixie-backports or later)"
    "-DPIMALLOC_MIMALLOC=/path/of/libmimalloc.so.3")
endfunction()

# Other versions, to test with.  That one cannot be had is no error, and is not
# tried again in the same build tree.
function(pim_find_other_mimallocs)
  set(versions "${PIM_MIMALLOC_VERSION}")
  set(missing "${PIM_MIMALLOC_NOT_FETCHED}")
  foreach(suite IN LISTS PIM_MIMALLOC_SUITES)
    if(suite IN_LIST missing)
      continue()
    endif()
    pim_fetch_mimalloc(${suite} library)
    if(NOT library)
      list(APPEND missing ${suite})
    elseif(NOT library_version IN_LIST versions)
      list(APPEND versions ${library_version})
      set(PIM_MIMALLOC_${library_version} "${library}" PARENT_SCOPE)
    endif()
  endforeach()
  set(PIM_MIMALLOC_NOT_FETCHED "${missing}" CACHE INTERNAL "Suites whose mimalloc cannot be had")
  list(JOIN versions " and " text)
  message(STATUS "mimalloc: tests run with ${text}")
  list(POP_FRONT versions)
  set(PIM_MIMALLOC_OTHERS "${versions}" PARENT_SCOPE)
endfunction()

pim_find_mimalloc()
message(STATUS "mimalloc: ${PIM_MIMALLOC_LIBRARY} (version ${PIM_MIMALLOC_VERSION})")
set(PIM_MIMALLOC_OTHERS "")
if(PIMALLOC_TESTS AND PIMALLOC_FETCH)
  pim_find_other_mimallocs()
elseif(PIMALLOC_TESTS)
  message(STATUS "mimalloc: tests run with ${PIM_MIMALLOC_VERSION} only")
endif()
