// Text of others inside XML and SVG. Pure.
#pragma once

#include <string>
#include <string_view>

namespace understudy::config {

// For element content and attribute values; what XML 1.0 cannot hold becomes '?'. UTF-8 passes.
std::string xml_escaped(std::string_view text);

}  // namespace understudy::config
