// What a path may mean to a server behind us. Routes are matched on one reading of the path (percent-decoded
// once, dot segments resolved) while the original bytes are forwarded, so a server that reads them otherwise
// must not thereby reach what another route guards (security rules §6.4). inspect() names what is doubtful
// about a path:
//
//   refused        no two servers agree: %00, '\' and %5c, encoded dot segments, "//", "..;" and ";..", '%'
//                  without two hex digits, overlong UTF-8, dots or empty segments made by an encoded slash
//   encoded_slash  %2f: a slash to some, a byte of a name to others; only where the route allows it
//   dots           "/a/../b": most servers resolve it, some do not
//   params         "/a;v=1/b": part of the name to most, cut off by some
//
// For the last three the caller matches every reading and accepts only when all select the same route.
#pragma once

#include <cstddef>
#include <string_view>

namespace understudy::route {

struct PathTraits {
  bool plain = true;  // nothing below holds and nothing is encoded: the path is its own only reading
  bool refused = false;
  bool encoded_slash = false;
  bool dots = false;
  bool params = false;
};

// One pass, no allocation. Anything that does not start with '/' (such as "*") is plain.
PathTraits inspect(std::string_view path);

struct Reading {
  bool resolve_dots = true;
  bool split_encoded_slash = false;  // else %2f stays as these three bytes, in lower case
  bool strip_params = false;         // cut each segment at its first ';'
};

// Writes the path in this reading to `out`, which has room for path.size() + 1 bytes, and returns what was
// written. Escapes are decoded exactly once. REQUIRES: inspect(path) did not refuse.
std::string_view read_path(std::string_view path, const Reading& reading, char* out);

// Value of "%xy" at text[at], or -1 when there are no two hex digits.
int decode_escape(std::string_view text, std::size_t at);

}  // namespace understudy::route
