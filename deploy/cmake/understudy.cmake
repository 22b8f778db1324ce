# Compiler flags and the three functions every folder uses.

add_library(understudy_flags INTERFACE)
target_include_directories(understudy_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(understudy_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough -Werror
  # g++ 12 sees overlaps in inlined std::string concatenation that are not there (GCC bug 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
target_compile_definitions(understudy_flags INTERFACE
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_SEPARATE_COMPILATION BOOST_ALL_NO_LIB _GLIBCXX_ASSERTIONS
  UNDERSTUDY_VERSION="${PROJECT_VERSION}")
target_link_libraries(understudy_flags INTERFACE Threads::Threads)

if(UNDERSTUDY_SANITIZE)
  target_compile_options(understudy_flags INTERFACE
    -fsanitize=${UNDERSTUDY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -g1)
  target_link_options(understudy_flags INTERFACE -fsanitize=${UNDERSTUDY_SANITIZE})
  # With a sanitizer's checks inlined, g++ 12 calls members of std::regex and std::optional uninitialized that are not
  # (GCC bug 105562); the release build keeps the warning.
  target_compile_options(understudy_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  # TSan knows nothing of Asio's stand-alone fences.
  target_compile_definitions(understudy_flags INTERFACE BOOST_ASIO_DISABLE_FENCED_BLOCK)
else()
  # Hardening (security rules for the build): see SECURITY.md.
  target_compile_options(understudy_flags INTERFACE
    $<$<AND:$<CONFIG:Release,RelWithDebInfo>,$<NOT:$<BOOL:$<TARGET_PROPERTY:UNDERSTUDY_TEST>>>>:-D_FORTIFY_SOURCE=2>
    -fstack-protector-strong -fstack-clash-protection -fcf-protection)
  target_link_options(understudy_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT UNDERSTUDY_SANITIZE)
  add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie>)
endif()

# understudy_library(NAME [DEPENDS targets...]): a static library of all *.cpp of this folder.
function(understudy_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;EXCLUDE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  foreach(skip ${ARG_EXCLUDE})
    list(REMOVE_ITEM sources ${CMAKE_CURRENT_SOURCE_DIR}/${skip})
  endforeach()
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC understudy_flags ${ARG_DEPENDS})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE understudy_flags ${ARG_DEPENDS})
  endif()
endfunction()

# understudy_test(NAME [DEPENDS targets...]): one gtest binary from tests/NAME/*_test.cpp.
function(understudy_test name)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(${name}_test ${sources})
  target_link_libraries(${name}_test PRIVATE understudy_flags ${ARG_DEPENDS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_sources(${name}_test PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/source_dir.cpp)
  # What is tested is optimised, the tests themselves are not: that halves the time to build them.
  set_target_properties(${name}_test PROPERTIES UNDERSTUDY_TEST ON)
  target_compile_options(${name}_test PRIVATE -O0)
  gtest_discover_tests(${name}_test PROPERTIES LABELS unit DISCOVERY_TIMEOUT 60)
endfunction()

# understudy_fuzz(NAME [DEPENDS targets...]): one libFuzzer binary from tests/fuzz/NAME_fuzz.cpp.
function(understudy_fuzz name)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  add_executable(${name}_fuzz fuzz/${name}_fuzz.cpp)
  target_link_libraries(${name}_fuzz PRIVATE understudy_flags ${ARG_DEPENDS})
  target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
endfunction()
