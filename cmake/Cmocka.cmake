# Finds or fetches cmocka, the test framework.  Defines the target pim::cmocka.
function(pim_find_cmocka)
  find_path(PIM_CMOCKA_INCLUDE cmocka.h)
  find_library(PIM_CMOCKA_LIBRARY cmocka)
  if(NOT PIM_CMOCKA_INCLUDE OR NOT PIM_CMOCKA_LIBRARY)
    set(PIM_MISSING_WHY "fetching is switched off (PIMALLOC_FETCH=OFF)")
    if(PIMALLOC_FETCH)
      set(PIM_MISSING_WHY "fetching it failed (see above)")
      pim_debian_suite(suite)
      pim_fetch_debian(cmocka ${suite} libcmocka-dev+)
      find_path(PIM_CMOCKA_INCLUDE cmocka.h PATHS "${PIM_FETCH_ROOT}/usr/include" NO_DEFAULT_PATH)
      file(GLOB dirs "${PIM_FETCH_ROOT}/usr/lib/*")
      find_library(PIM_CMOCKA_LIBRARY cmocka PATHS ${dirs} NO_DEFAULT_PATH)
    endif()
    if(NOT PIM_CMOCKA_INCLUDE OR NOT PIM_CMOCKA_LIBRARY)
      pim_dependency_missing(cmocka libcmocka-dev
        "-DPIM_CMOCKA_INCLUDE=<dir> -DPIM_CMOCKA_LIBRARY=<file>")
    endif()
  endif()
  message(STATUS "cmocka: ${PIM_CMOCKA_LIBRARY}")
  add_library(pim::cmocka UNKNOWN IMPORTED GLOBAL)
  set_target_properties(pim::cmocka PROPERTIES
    IMPORTED_LOCATION "${PIM_CMOCKA_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${PIM_CMOCKA_INCLUDE}")
endfunction()

pim_find_cmocka()
