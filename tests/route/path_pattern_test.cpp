#include "proxy/route/path_pattern.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace understudy::route {
namespace {

struct Case {
  std::string rule;
  std::vector<std::string> yes, no;
};

TEST(PathPattern, MeansWhatItSays) {
  const std::vector<Case> cases = {
      {"", {"/", "/x", "*"}, {}},
      {"/*", {"/", "/x", "/x/y", "*"}, {}},
      {"/**", {"/", "/x/y"}, {}},
      {"/", {"/"}, {"/x", "*", ""}},
      {"/x", {"/x"}, {"/x/", "/x/y", "/xy", "/", "/X"}},
      {"/x/", {"/x/"}, {"/x", "/x/y"}},
      {"/x/*", {"/x", "/x/", "/x/y", "/x/y/z"}, {"/xy", "/", "/y/x", "*"}},
      {"/x/**", {"/x", "/x/", "/x/y/z"}, {"/xy"}},
      {"/x*", {"/x", "/xy"}, {"/x/", "/xy/z", "/y"}},
      {"/*.js", {"/a.js", "/.js"}, {"/a.jsx", "/a/b.js", "/js"}},
      {"/x/*.min.*", {"/x/a.min.js", "/x/.min."}, {"/x/a.js", "/x/min.js"}},
      {"/a*b*c", {"/abc", "/aXbXc", "/abbcc"}, {"/ab", "/acb", "/ab/c"}},
      {"/ab*ba", {"/abba", "/abxba"}, {"/aba"}},
      {"/*/edit", {"/x/edit"}, {"/edit", "//edit", "/x/y/edit", "/x/edit/"}},
      {"/*/edit/*", {"/x/edit", "/x/edit/y/z"}, {"/edit/y", "/x/edits"}},
      {"/**/x.ext", {"/x.ext", "/a/x.ext", "/a/b/x.ext", "/x.ext/x.ext"}, {"/ax.ext", "/x.ext/a", "/"}},
      {"/a/**/b/**/c", {"/a/b/c", "/a/x/b/y/z/c", "/a/b/b/c/c"}, {"/a/c", "/a/b", "/b/c", "/a/b/c/d"}},
      {"/**/a/b", {"/a/b", "/a/a/b", "/a/x/a/b"}, {"/a/b/a"}},
      {"/**/*.php/*", {"/x.php", "/a/x.php/y/z"}, {"/x.phpx"}},
      {"/a b", {"/a b"}, {}},
      {"/a%20b", {"/a b"}, {"/a%20b"}},
      {"/a%2Fb", {"/a%2fb"}, {"/a/b"}},
      {"/a%2a", {"/a*"}, {"/ab"}},
      {"/100%", {"/100%"}, {"/100"}},
  };
  for (const Case& c : cases) {
    const PathPattern pattern(c.rule);
    for (const auto& path : c.yes) EXPECT_TRUE(pattern.matches(path)) << c.rule << " on " << path;
    for (const auto& path : c.no) EXPECT_FALSE(pattern.matches(path)) << c.rule << " on " << path;
    const std::string literal = pattern.literal();
    for (const auto& path : c.yes) {
      EXPECT_TRUE(path.starts_with(literal)) << c.rule << " on " << path;
      EXPECT_TRUE(path.size() == literal.size() || path[literal.size()] == '/' || literal.empty()) << c.rule;
    }
  }
}

TEST(PathPattern, KnowsHowEveryPathBegins) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"/*", ""},       {"/x/y", "/x/y"},  {"/x/", "/x/"},       {"/x/y/*", "/x/y"},
      {"/x/*/y", "/x"}, {"/x/a*/y", "/x"}, {"/x/**/y", "/x"},    {"/x/y/**", "/x/y"},
      {"/*/x", ""},     {"/x*", ""},       {"/a%20b/c*", "/a b"}};
  for (const auto& [rule, literal] : cases) EXPECT_EQ(PathPattern(rule).literal(), literal) << rule;
}

TEST(PathPattern, KnowsWhichRulesLookAtThePath) {
  for (const char* rule : {"", "/*", "/**", "*"}) EXPECT_TRUE(PathPattern(rule).is_any()) << rule;
  for (const char* rule : {"/", "/x", "/x/*", "/*/x", "/**/x"}) EXPECT_FALSE(PathPattern(rule).is_any()) << rule;
}

// Patterns that send a backtracking matcher on a walk of 2^n or n^k steps. This one needs at most path ×
// rule, so the test ends at once or, were that to change, never.
TEST(PathPattern, HostilePathsCannotMakeItBacktrack) {
  std::string path;
  for (int i = 0; i < 4000; ++i) path += "/a";
  EXPECT_FALSE(PathPattern("/**/a/**/a/**/a/**/a/**/a/**/b").matches(path));
  EXPECT_FALSE(PathPattern("/**/a*a*a*a*b/**/c").matches(path));
  const std::string name(8000, 'a');
  EXPECT_FALSE(PathPattern("/*a*a*a*a*a*a*a*a*b").matches("/" + name));
  EXPECT_TRUE(PathPattern("/*a*a*a*a*a*a*a*a").matches("/" + name));
}

}  // namespace
}  // namespace understudy::route
