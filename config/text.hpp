// Writing text into messages, TOML and JSON.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace understudy::config {

// For messages: control bytes become '?', and what exceeds `longest` code points is cut with "...".
std::string printable(std::string_view text, std::size_t longest = 60);

// "text" as a TOML basic string, quotes included. "${" is written so that it is not expanded.
std::string toml_string(std::string_view text);

// "text" as a JSON string, quotes included. Bytes that are no UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

// A token of RFC 9110 section 5.6.2: names of header fields, methods and cookies.
bool is_token(std::string_view text);

bool is_utf8(std::string_view text);

std::size_t code_points(std::string_view text);

// The n-th line (1-based) without its end; empty when there is none.
std::string_view line_of(std::string_view text, std::size_t number);

}  // namespace understudy::config
