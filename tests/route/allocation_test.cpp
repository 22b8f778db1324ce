// Routing allocates nothing: counted by this binary's own operator new.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "tests/route/route_request.hpp"

namespace {
std::atomic<std::size_t> allocations{0};
}

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {  // std::inplace_merge asks this way
  ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace understudy::route::testing {
namespace {

TEST(RouteTable, MatchingAllocatesNothing) {
  auto lenient = route("", "/files/*");
  lenient.allow_encoded_slash = true;
  const RouteTable table(routes({route("a.example", "/x/*", {"POST"}, {{"X-A", "*"}}), route("*.example", "/**/y/*.js"),
                                 route("[::1]", "/admin/*"), lenient, route("", "/*")}));
  const std::size_t before = allocations;
  for (const char* host : {"a.example", "A.B.Example.:8080", "[0:0::1]:80", "nobody", ""}) {
    for (const char* path : {"/", "/x/y", "/a/b/y/c.js", "/caf%C3%A9/%41", "/files/a%2fb;v=1", "/a/../b/./c", "/a;b/c",
                             "/%2e%2e/admin", "*"}) {
      const Request request(host, path, "POST", {{"x-a", "1"}});
      const std::size_t start = allocations;
      const RouteMatch match = request.in(table);
      EXPECT_EQ(allocations, start) << host << " " << path << ": " << told(match);
    }
  }
  EXPECT_GT(allocations, before);  // the counter works: building the requests allocates
  const Request longest("a.example", "/" + std::string(8100, 'x') + "/%41", "GET");
  const std::size_t start = allocations;
  longest.in(table);
  EXPECT_EQ(allocations, start);
}

}  // namespace
}  // namespace understudy::route::testing
