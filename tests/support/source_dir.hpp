// Where the checkout is: for tests that read committed files (golden cases, examples, the reference page).
#pragma once

namespace understudy::support {

const char* source_dir();

}  // namespace understudy::support
