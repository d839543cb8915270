# Finds libmimalloc >= 3.6, or fetches it.  Sets
#   PIM_MIMALLOC_LIBRARY  path of the shared library
#   PIM_MIMALLOC_FETCHED  whether it came from a package unpacked by us
#
# Only the file is needed: src/mi loads it at run time and declares what it
# uses.  A library is judged by asking it for its version, never by its name:
# Debian 12 has 2.0, Debian 13 has 3.0.1 under the same SONAME as 3.6.

set(PIMALLOC_MIMALLOC "" CACHE FILEPATH "libmimalloc.so to use (default: search, then fetch)")
set(PIM_MIMALLOC_NEEDED 30600)

# Sets ${out} to the path if `library` (a path or a SONAME) is new enough.
function(pim_try_mimalloc library out)
  set(${out} "" PARENT_SCOPE)
  set(probe "${CMAKE_BINARY_DIR}/CMakeFiles/mimalloc_version")
  if(NOT EXISTS "${probe}")
    try_compile(compiled "${CMAKE_BINARY_DIR}/CMakeFiles/probe"
      "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/mimalloc_version.c"
      LINK_LIBRARIES ${CMAKE_DL_LIBS} COPY_FILE "${probe}")
    if(NOT compiled)
      message(FATAL_ERROR "cmake/mimalloc_version.c does not compile")
    endif()
  endif()
  execute_process(COMMAND "${probe}" "${library}" RESULT_VARIABLE failed
    OUTPUT_VARIABLE answer ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(failed OR NOT answer MATCHES "^([0-9]+) (.*)$")
    return()
  endif()
  set(version ${CMAKE_MATCH_1})
  set(path "${CMAKE_MATCH_2}")
  # 2.x counts 206, 3.0 counts 301 or 30001: all smaller than 30600.
  if(version LESS PIM_MIMALLOC_NEEDED)
    message(STATUS "mimalloc: ${path} is too old (version ${version}), not used")
    return()
  endif()
  message(STATUS "mimalloc: ${path} (version ${version})")
  set(${out} "${path}" PARENT_SCOPE)
endfunction()

function(pim_find_mimalloc)
  set(PIM_MIMALLOC_FETCHED FALSE PARENT_SCOPE)
  if(PIMALLOC_MIMALLOC)
    pim_try_mimalloc("${PIMALLOC_MIMALLOC}" library)
    if(NOT library)
      message(FATAL_ERROR "PIMALLOC_MIMALLOC=${PIMALLOC_MIMALLOC} is not a mimalloc 3.6 or newer")
    endif()
    set(PIM_MIMALLOC_LIBRARY "${library}" PARENT_SCOPE)
    return()
  endif()

  foreach(soname libmimalloc.so.3 libmimalloc.so)
    pim_try_mimalloc(${soname} library)
    if(library)
      set(PIM_MIMALLOC_LIBRARY "${library}" PARENT_SCOPE)
      return()
    endif()
  endforeach()

  set(PIM_MISSING_WHY "fetching is switched off (PIMALLOC_FETCH=OFF)")
  if(PIMALLOC_FETCH)
    # The backport for Debian 13 needs only glibc 2.34, so it serves 12 too.
    foreach(suite trixie-backports sid)
      pim_fetch_debian(mimalloc-${suite} ${suite} libmimalloc3)
      file(GLOB found "${PIM_FETCH_ROOT}/usr/lib/*/libmimalloc.so.3")
      if(PIM_FETCH_ROOT AND found)
        pim_try_mimalloc("${found}" library)
        if(library)
          set(PIM_MIMALLOC_LIBRARY "${library}" PARENT_SCOPE)
          set(PIM_MIMALLOC_FETCHED TRUE PARENT_SCOPE)
          return()
        endif()
      endif()
    endforeach()
    set(PIM_MISSING_WHY "fetching it failed (see above)")
  endif()
  pim_dependency_missing("libmimalloc 3.6 or newer" "libmimalloc3 (>= 3.6, in trixie-backports or later)"
    "-DPIMALLOC_MIMALLOC=/path/of/libmimalloc.so.3")
endfunction()

pim_find_mimalloc()
