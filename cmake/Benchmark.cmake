# Finds or fetches Google Benchmark.  Defines the target pim::benchmark.
function(pim_find_benchmark)
  find_path(PIM_BENCHMARK_INCLUDE benchmark/benchmark.h)
  find_library(PIM_BENCHMARK_LIBRARY benchmark)
  if(NOT PIM_BENCHMARK_INCLUDE OR NOT PIM_BENCHMARK_LIBRARY)
    set(PIM_MISSING_WHY "fetching is switched off (PIMALLOC_FETCH=OFF)")
    if(PIMALLOC_FETCH)
      set(PIM_MISSING_WHY "fetching it failed (see above)")
      pim_debian_suite(suite)
      pim_fetch_debian(benchmark ${suite} libbenchmark-dev+)
      find_path(PIM_BENCHMARK_INCLUDE benchmark/benchmark.h
        PATHS "${PIM_FETCH_ROOT}/usr/include" NO_DEFAULT_PATH)
      file(GLOB dirs "${PIM_FETCH_ROOT}/usr/lib/*")
      find_library(PIM_BENCHMARK_LIBRARY benchmark PATHS ${dirs} NO_DEFAULT_PATH)
    endif()
    if(NOT PIM_BENCHMARK_INCLUDE OR NOT PIM_BENCHMARK_LIBRARY)
      pim_dependency_missing("Google Benchmark" libbenchmark-dev
        "-DPIM_BENCHMARK_INCLUDE=<dir> -DPIM_BENCHMARK_LIBRARY=<file>")
    endif()
  endif()
  message(STATUS "Google Benchmark: ${PIM_BENCHMARK_LIBRARY}")
  add_library(pim::benchmark UNKNOWN IMPORTED GLOBAL)
  set_target_properties(pim::benchmark PROPERTIES
    IMPORTED_LOCATION "${PIM_BENCHMARK_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${PIM_BENCHMARK_INCLUDE}"
    INTERFACE_LINK_LIBRARIES Threads::Threads)
endfunction()

pim_find_benchmark()
