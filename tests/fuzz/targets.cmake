# One libFuzzer target per codec and parser; each joins when its source is there. Seeds are in tests/corpus/NAME.
function(understudy_fuzz_if_there name)
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/${name}_fuzz.cpp)
    understudy_fuzz(${name} ${ARGN})
  endif()
endfunction()

understudy_fuzz_if_there(config DEPENDS us_config)
understudy_fuzz_if_there(units DEPENDS us_config)
understudy_fuzz_if_there(request DEPENDS us_http)
understudy_fuzz_if_there(response DEPENDS us_http)
understudy_fuzz_if_there(chunk DEPENDS us_http)
understudy_fuzz_if_there(forwarding DEPENDS us_http)
understudy_fuzz_if_there(route DEPENDS us_route)
