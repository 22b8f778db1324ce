// Routing of any host, method and path: the table answers like a linear scan, no path reaches an open route
// that some server would serve inside a guarded prefix, and a path read by the proxy's own code is what the
// model makes of it.
//
// Input: "METHOD\nHOST\nPATH", each part bounded; missing parts are empty.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proxy/route/path_reading.hpp"
#include "proxy/route/route_table.hpp"
#include "tests/route/naive_route.hpp"

namespace {

using namespace understudy;
using namespace understudy::route::testing;

void require(bool holds, const char* what, const NaiveRequest& request) {
  if (holds) return;
  std::fprintf(stderr, "%s\nhost '%s' path '%s'\n", what, request.host.c_str(), request.path.c_str());
  std::abort();
}

std::string take_line(std::string_view& rest) {
  const auto end = rest.find('\n');
  const std::string line(rest.substr(0, end));
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  return line;
}

const config::Config& tables() {
  static const config::Config config = [] {
    auto open = route::testing::route("", "/*");
    auto lenient = route::testing::route("lenient.org", "/*");
    lenient.allow_encoded_slash = true;
    return routes({route::testing::route("", "/admin/*"), route::testing::route("*.a.org", "/**/x/*", {"GET"}),
                   route::testing::route("a.org", "/*.js"), lenient, route::testing::route("*.org", "/a*b/**/c"),
                   open});
  }();
  return config;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 256) return 0;  // the model is slow, the paths of interest are short
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  NaiveRequest naive;
  naive.method = take_line(rest);
  naive.host = take_line(rest);
  naive.path = std::string(rest);
  static const route::RouteTable table(tables());
  const Request request(naive.host, naive.path, naive.method);
  const route::RouteMatch match = request.in(table);

  if (naive.host.empty() || naive.host.front() != '[') {
    const route::RouteMatch expected = naive_match(tables(), naive);
    require(match.error == expected.error && match.index == expected.index, "not what a linear scan finds", naive);
  }
  const bool open = match.error == route::RouteError::none && match.index != 0;
  if (open && naive.path.starts_with("/") && !route::inspect(naive.path).plain) {
    require(served_inside(naive.path, "/admin").empty(), "served inside the guarded prefix", naive);
  }
  if (naive.path.starts_with("/") && !route::inspect(naive.path).refused) {
    std::string out(naive.path.size() + 1, '\0');
    const std::string_view read = route::read_path(naive.path, route::Reading{}, out.data());
    require(read == resolved(decoded_once(naive.path, true)), "not what the model reads", naive);
  }
  return 0;
}
