# The load process of tests/bench/run: origin and client, built with -DUNDERSTUDY_BENCH=ON only.
if(NOT UNDERSTUDY_BENCH)
  return()
endif()
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.cpp)
add_executable(understudy_load ${sources})
target_link_libraries(understudy_load PRIVATE understudy_flags OpenSSL::SSL OpenSSL::Crypto)
