#include "tests/support/source_dir.hpp"

namespace understudy::support {

const char* source_dir() { return UNDERSTUDY_SOURCE_DIR; }

}  // namespace understudy::support
