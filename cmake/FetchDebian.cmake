# pim_fetch_debian(<name> <suite> <package>...)
#
# Unpacks packages under ${PIMALLOC_DEPS_DIR}/<name>/root and sets
# PIM_FETCH_ROOT to that directory, or to "" if it failed.  apt's own output is
# the progress display.  What was unpacked once is used again at once.
function(pim_fetch_debian name suite)
  set(dir "${PIMALLOC_DEPS_DIR}/${name}")
  file(MAKE_DIRECTORY "${PIMALLOC_DEPS_DIR}")
  # Two presets may be configured at the same time.
  file(LOCK "${PIMALLOC_DEPS_DIR}" DIRECTORY GUARD FUNCTION TIMEOUT 600)
  if(NOT EXISTS "${dir}/complete")
    message(STATUS "Fetching ${name} (${suite}) into ${dir}, without touching the system")
    execute_process(
      COMMAND "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/fetch_debian.sh" "${dir}" "${suite}" ${ARGN}
      RESULT_VARIABLE failed)
    if(failed)
      set(PIM_FETCH_ROOT "" PARENT_SCOPE)
      return()
    endif()
    file(TOUCH "${dir}/complete")
  endif()
  set(PIM_FETCH_ROOT "${dir}/root" PARENT_SCOPE)
endfunction()

# The end of a dependency that is neither installed nor could be fetched.
function(pim_dependency_missing what packages option)
  message(FATAL_ERROR
    "${what} was not found, and ${PIM_MISSING_WHY}.\n"
    "Install the Debian package ${packages}, or name it with ${option}, or "
    "let it be fetched with -DPIMALLOC_FETCH=ON (needs apt-get and a Debian "
    "mirror, see cmake/fetch_debian.sh).")
endfunction()

# The release this machine runs, for packages that must match its libraries.
function(pim_debian_suite out)
  set(suite sid)
  if(EXISTS /etc/os-release)
    file(STRINGS /etc/os-release line REGEX "^VERSION_CODENAME=")
    string(REGEX REPLACE "^VERSION_CODENAME=\"?([a-z]*)\"?$" "\\1" codename "${line}")
    if(codename)
      set(suite ${codename})
    endif()
  endif()
  set(${out} ${suite} PARENT_SCOPE)
endfunction()
