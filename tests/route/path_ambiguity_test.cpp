// Paths that one server reads so and another otherwise (security rules §6.4): one route guards /admin/*, the
// other is open, and nothing that is let through to the open one may be served inside /admin by any upstream
// of upstream_model.hpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "proxy/route/path_reading.hpp"
#include "tests/route/route_request.hpp"
#include "tests/route/upstream_model.hpp"

namespace understudy::route::testing {
namespace {

constexpr const char* kGuarded = "0";
constexpr const char* kOpen = "1";
constexpr const char* kRefused = "ambiguous_path";

struct Row {
  std::string path;
  std::string expected;
};

void expect_rows(const RouteTable& table, const std::vector<Row>& rows, const std::string& open = kOpen) {
  for (const Row& row : rows) {
    const std::string got = told(Request("example.org", row.path).in(table));
    EXPECT_EQ(got, row.expected) << row.path;
    if (got != open) continue;
    EXPECT_EQ(served_inside(row.path, "/admin"), "") << row.path << " reaches the guarded prefix";
  }
}

const std::vector<Row>& table_of_paths() {
  static const std::vector<Row> rows = {
      // as written
      {"/", kOpen},
      {"/x", kOpen},
      {"/x/admin", kOpen},
      {"/administrator", kOpen},
      {"/Admin", kOpen},
      {"/admin", kGuarded},
      {"/admin/", kGuarded},
      {"/admin/x", kGuarded},
      // encoded, one meaning
      {"/%61dmin", kGuarded},
      {"/adm%69n/x", kGuarded},
      {"/%61%64%6D%69%6e/x", kGuarded},
      {"/x%20y", kOpen},
      {"/caf%C3%A9", kOpen},
      {"/x%2ehtml", kOpen},
      {"/%2561dmin", kOpen},
      {"/%252e%252e/admin", kOpen},
      {"/x%252fadmin", kOpen},
      // not an escape
      {"/%", kRefused},
      {"/admin%2", kRefused},
      {"/%zz", kRefused},
      {"/%u0061dmin", kRefused},
      // encoded slash
      {"/x%2fy", kRefused},
      {"/x%2Fy", kRefused},
      {"/admin%2fx", kRefused},
      {"/%2fadmin", kRefused},
      {"/x/..%2fadmin", kRefused},
      {"/x%2f..%2fadmin", kRefused},
      {"/x/%2e%2e%2fadmin", kRefused},
      // backslash
      {"/x\\admin", kRefused},
      {"/x/..\\admin", kRefused},
      {"/\\admin", kRefused},
      {"/admin%5cx", kRefused},
      {"/%5Cadmin", kRefused},
      {"/x%5c..%5cadmin", kRefused},
      // NUL
      {"/admin%00", kRefused},
      {"/%00/admin", kRefused},
      {"/admin%00/../x", kRefused},
      // encoded dot segments
      {"/x/%2e%2e/admin", kRefused},
      {"/x/.%2e/admin", kRefused},
      {"/x/%2E./admin", kRefused},
      {"/%2e/admin", kRefused},
      {"/admin/%2e%2e/x", kRefused},
      {"/x/%2e", kRefused},
      // names that only look like dot segments
      {"/.well-known/x", kOpen},
      {"/...", kOpen},
      {"/%2e%2e%2e/x", kOpen},
      {"/..x/admin", kOpen},
      {"/x../admin", kOpen},
      // dot segments as written: fine while resolving makes no difference
      {"/x/./y", kOpen},
      {"/x/../y", kOpen},
      {"/..", kOpen},
      {"/admin/./x", kGuarded},
      {"/admin/x/../y", kGuarded},
      {"/./admin", kRefused},
      {"/../admin", kRefused},
      {"/x/../admin", kRefused},
      {"/x/../../admin/z", kRefused},
      {"/admin/..", kRefused},
      {"/admin/../x", kRefused},
      // empty segments
      {"//admin", kRefused},
      {"/x//y", kRefused},
      {"/admin//x", kRefused},
      {"/x//", kRefused},
      {"///", kRefused},
      // parameters
      {"/x;v=1/y", kOpen},
      {"/x%3bv/y", kOpen},
      {"/app/;jsessionid=1", kOpen},
      {"/admin/x;v=1", kGuarded},
      {"/admin;v=1", kRefused},
      {"/admin;v=1/x", kRefused},
      {"/admin%3bx", kRefused},
      {"/;/admin", kRefused},
      {"/x/..;/admin", kRefused},
      {"/x/..;a=b/admin", kRefused},
      {"/x/.;/admin", kRefused},
      {"/x/;../admin", kRefused},
      {"/x;/../admin", kRefused},
      // overlong UTF-8
      {"/%c0%ae%c0%ae/admin", kRefused},
      {"/x%c0%afadmin", kRefused},
      {"/%e0%80%afadmin", kRefused},
      {"/%f0%80%80%afadmin", kRefused},
  };
  return rows;
}

TEST(PathAmbiguity, NothingLetThroughToTheOpenRouteIsServedInsideTheGuardedPrefix) {
  ASSERT_GE(table_of_paths().size(), 60U);
  expect_rows(RouteTable(routes({route("", "/admin/*"), route("", "/*")})), table_of_paths());
}

TEST(PathAmbiguity, HoldsWhicheverRouteComesFirst) {
  // The open prefix is listed, all else is guarded: the reverse of the table above.
  const RouteTable table(routes({route("", "/open/*"), route("", "")}));
  for (const Row& row : table_of_paths()) {
    const std::string path = "/open" + row.path;
    if (told(Request("example.org", path).in(table)) != "0") continue;
    for (const UpstreamHabits& habits : all_habits()) {
      const std::string served = served_as(path, habits);
      EXPECT_TRUE(served == "/open" || served.starts_with("/open/")) << path << " is served as " << served;
    }
  }
  EXPECT_EQ(told(Request("h", "/open/x").in(table)), "0");
  EXPECT_EQ(told(Request("h", "/open/../secret").in(table)), kRefused);
  EXPECT_EQ(told(Request("h", "/secret/../open/x").in(table)), kRefused);
}

TEST(PathAmbiguity, AnyHostRuleMakesTheHostStrict) {
  const RouteTable table(routes({route("", "/admin/*"), route("example.org", "")}));
  EXPECT_EQ(told(Request("example.org", "/x%2fy").in(table)), kRefused);
}

TEST(PathAmbiguity, HostsThatLookAtNoPathForwardEverything) {
  const RouteTable table(routes({route("strict.example", "/x/*"), route("free.example", "/*")}));
  for (const Row& row : table_of_paths()) {
    EXPECT_EQ(told(Request("free.example", row.path).in(table)), "1") << row.path;
  }
  EXPECT_EQ(told(Request("strict.example", "/x/%2e%2e/y").in(table)), kRefused);
}

TEST(PathAmbiguity, EncodedSlashPassesWhereTheRouteAllowsItAndItCannotMatter) {
  auto guarded = route("", "/admin/*");
  auto open = route("", "/*");
  open.allow_encoded_slash = true;
  const RouteTable table(routes({guarded, open}));
  expect_rows(table, {{"/x%2fy", kOpen},
                      {"/x%2Fadmin", kOpen},
                      {"/x%2f", kOpen},
                      {"/files/a%2fb;v=1", kOpen},
                      {"/admin/a%2fb", kRefused},  // the guarded route does not allow it
                      {"/admin%2fx", kRefused},
                      {"/admin%2f", kRefused},
                      {"/%2fadmin", kRefused},
                      {"/x%2f%2fy", kRefused},
                      {"/x%2f/y", kRefused},
                      {"/x%2f..%2fadmin", kRefused},
                      {"/x/..%2fadmin", kRefused},
                      {"/x%2f../admin", kRefused},
                      {"/x/../y%2fz", kRefused},
                      {"/admin;v%2fx", kRefused},
                      {"/x%5cy", kRefused},
                      {"/x%2f%00", kRefused}});
  guarded.allow_encoded_slash = true;
  const RouteTable both(routes({guarded, open}));
  EXPECT_EQ(told(Request("h", "/admin/a%2fb").in(both)), kGuarded);
  EXPECT_EQ(told(Request("h", "/admin%2fb").in(both)), kRefused);
}

// Every path of up to five tokens out of those that attacks are made of.
TEST(PathAmbiguity, NoShortPathGetsRound) {
  const std::vector<std::string> tokens = {"/", "admin", "x", ".", "..", ";", "%2e", "%2f", "%5c", "%3b"};
  const RouteTable strict(routes({route("", "/admin/*"), route("", "/*")}));
  auto lenient_open = route("", "/*");
  lenient_open.allow_encoded_slash = true;
  const RouteTable lenient(routes({route("", "/admin/*"), lenient_open}));
  std::size_t passed = 0;
  std::vector<std::size_t> digits;
  for (std::size_t length = 1; length <= 5; ++length) {
    digits.assign(length, 0);
    for (bool more = true; more;) {
      std::string path = "/";
      for (const auto digit : digits) path += tokens[digit];
      const bool open = told(Request("h", path).in(strict)) == kOpen;
      const bool lenient_passes = told(Request("h", path).in(lenient)) == kOpen;
      if (open || lenient_passes) {
        ++passed;
        ASSERT_EQ(served_inside(path, "/admin"), "") << path;
      }
      ASSERT_TRUE(lenient_passes || !open) << path;
      std::size_t at = 0;
      while (at < length && ++digits[at] == tokens.size()) digits[at++] = 0;
      more = at < length;
    }
  }
  EXPECT_GT(passed, 1000U);
}

TEST(PathReading, DecodesOnceAndResolvesDots) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"/a/b", "/a/b"},
      {"/a/./b", "/a/b"},
      {"/a/../b", "/b"},
      {"/a/..", "/"},
      {"/a/b/..", "/a/"},
      {"/a/.", "/a/"},
      {"/..", "/"},
      {"/../../a", "/a"},
      {"/a/b/../../c", "/c"},
      {"/a/b/../../../c", "/c"},
      {"/%61", "/a"},
      {"/%2561", "/%61"},
      {"/a%2Fb", "/a%2fb"},
      {"/.x", "/.x"},
      {"/a/...", "/a/..."},
      {"/a;b/c", "/a;b/c"},
      {"/", "/"},
      {"/a/", "/a/"},
      {"/.", "/"},
  };
  for (const auto& [raw, expected] : cases) {
    std::string out(raw.size() + 1, '\0');
    EXPECT_EQ(read_path(raw, Reading{}, out.data()), expected) << raw;
  }
}

TEST(PathReading, OtherReadingsCutParametersSplitSlashesAndLeaveDots) {
  std::string out(64, '\0');
  Reading reading;
  reading.strip_params = true;
  EXPECT_EQ(read_path("/a;b=%2f/c;d", reading, out.data()), "/a/c");
  reading = {};
  reading.split_encoded_slash = true;
  EXPECT_EQ(read_path("/a%2fb", reading, out.data()), "/a/b");
  reading = {};
  reading.resolve_dots = false;
  EXPECT_EQ(read_path("/a/../%62", reading, out.data()), "/a/../b");
}

TEST(PathReading, PathsLongerThanTheStackBufferAreReadAllTheSame) {
  const RouteTable table(routes({route("", "/admin/*"), route("", "/*")}));
  for (const std::size_t length : {8188U, 8189U, 8190U, 8191U, 8192U, 8193U, 20'000U}) {
    const std::string tail(length, 'x');
    EXPECT_EQ(told(Request("h", "/%61dmin/" + tail).in(table)), kGuarded) << length;
    EXPECT_EQ(told(Request("h", "/" + tail + "/%2e%2e/admin").in(table)), kRefused) << length;
  }
}

}  // namespace
}  // namespace understudy::route::testing
