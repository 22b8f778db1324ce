# Writes OUTPUT, a source that tells the commit of SOURCE_DIR (or COMMIT, where that is given). Run at every build; touches the file
# only when the answer changed, so that nothing is compiled for nothing.
if(NOT COMMIT)
  get_filename_component(above ${SOURCE_DIR} DIRECTORY)
  # Not the commit of some repository into which a tarball happens to be unpacked.
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env GIT_CEILING_DIRECTORIES=${above} GIT_OPTIONAL_LOCKS=0
            git -C ${SOURCE_DIR} describe --always --dirty --abbrev=12 --exclude=*
    OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(failed OR NOT COMMIT MATCHES "^[0-9a-f]+(-dirty)?$")
    set(COMMIT unknown)
  endif()
endif()
set(text "#include \"proxy/server/build_commit.hpp\"

namespace understudy::server {

const char* build_commit() { return \"${COMMIT}\"; }

}  // namespace understudy::server
")
set(old "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} old)
endif()
if(NOT old STREQUAL text)
  file(WRITE ${OUTPUT} "${text}")
endif()
