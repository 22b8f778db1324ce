# Micro-benchmarks (Google Benchmark), built with -DUNDERSTUDY_BENCH=ON only. Never a test: nothing here passes or fails.
if(NOT UNDERSTUDY_BENCH)
  return()
endif()
find_package(benchmark REQUIRED)

function(understudy_bench name)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/bench/micro/${name}_bench.cpp)
    add_executable(${name}_bench bench/micro/${name}_bench.cpp)
    target_link_libraries(${name}_bench PRIVATE understudy_flags ${ARG_DEPENDS} benchmark::benchmark_main)
  endif()
endfunction()

understudy_bench(route DEPENDS us_route)
understudy_bench(balance DEPENDS us_balance)
understudy_bench(http DEPENDS us_http)
