// A route's path rule, compiled. Decides on one reading of a request's path (see path_reading.hpp).
//
//   ""  "/*"  "/**"    every path, also "*" of OPTIONS
//   /x                 exactly that
//   /x/*               /x and everything below: /x, /x/, /x/y/z
//   /x/*.js  /*/y      '*' is a part of one segment, possibly empty; alone it is one whole, non-empty segment
//   /a/**/z            "**" is any number of segments, also none
//
// Escapes in a rule are decoded as in a path (%2a is a plain star); %2f stays and meets only an encoded
// slash.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace understudy::route {

class PathPattern {
public:
  PathPattern() = default;  // every path
  explicit PathPattern(std::string_view rule);
  bool matches(std::string_view path) const;
  bool is_any() const { return kind_ == Kind::any; }
  // What every path that matches begins with, up to the end of a segment; "" when that can be anything.
  std::string literal() const;

private:
  enum class Kind : std::uint8_t { any, exact, prefix, glob };
  struct Segment {
    bool many = false;                // "**", or the last "*"
    std::vector<std::string> pieces;  // the texts between the stars: one piece is a literal
    bool matches(std::string_view text) const;
  };

  bool matches_glob(std::string_view path) const;

  Kind kind_ = Kind::any;
  std::string text_;               // exact and prefix
  std::vector<Segment> segments_;  // glob
};

}  // namespace understudy::route
