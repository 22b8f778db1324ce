#include "proxy/observe/counters.hpp"

#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace understudy::observe {
namespace {

using health::Cause;
using health::EndpointId;
using Names = std::vector<std::string>;

template <typename Enum>
void every_value_has_its_own_word() {
  std::set<std::string_view> words;
  for (int i = 0; i < static_cast<int>(Enum::count); ++i) {
    const std::string_view word = name_of(static_cast<Enum>(i));
    EXPECT_FALSE(word.empty());
    words.insert(word);
  }
  EXPECT_EQ(words.size(), static_cast<std::size_t>(Enum::count));
}

TEST(CounterWords, AreDistinct) {
  every_value_has_its_own_word<Rejection>();
  every_value_has_its_own_word<Limit>();
  every_value_has_its_own_word<CodeClass>();
  every_value_has_its_own_word<TlsVersion>();
  every_value_has_its_own_word<TlsResult>();
  every_value_has_its_own_word<TunnelEnd>();
  every_value_has_its_own_word<Closer>();
  every_value_has_its_own_word<AcceptError>();
}

TEST(CounterWords, FollowTheirEnumerations) {
  EXPECT_EQ(name_of(Limit::key_update), "key_update");
  EXPECT_EQ(name_of(Limit::max_in_flight), "max_in_flight");
  EXPECT_EQ(name_of(TunnelEnd::endpoint_disabled), "endpoint_disabled");
  EXPECT_EQ(name_of(TunnelEnd::message_too_big), "message_too_big");
  EXPECT_EQ(name_of(TunnelEnd::route_removed), "route_removed");
  EXPECT_EQ(name_of(Closer::proxy), "proxy");
  EXPECT_EQ(name_of(Rejection::draining), "draining");
  EXPECT_EQ(name_of(TlsResult::aborted), "aborted");
}

TEST(CodeClassOf, FoldsEveryStatus) {
  const std::vector<std::pair<unsigned, std::string_view>> cases{
      {0, "other"}, {99, "other"}, {100, "1xx"}, {103, "1xx"},   {200, "2xx"},    {308, "3xx"},
      {499, "4xx"}, {500, "5xx"},  {599, "5xx"}, {600, "other"}, {65535, "other"}};
  for (const auto& [status, word] : cases) EXPECT_EQ(name_of(code_class_of(status)), word) << status;
}

TEST(ListenerCounters, DeriveOpenConnections) {
  ListenerCounters counters;
  counters.accepted.add(3);
  counters.closed.add();
  EXPECT_EQ(counters.active(), 2U);
  counters.closed.add(5);  // as a reader between two writes may see it
  EXPECT_EQ(counters.active(), 0U);
}

TEST(PoolCounters, CountTunnelsByTheirEnd) {
  PoolCounters counters;
  counters.tunnels_opened.add(4);
  counters.tunnels_closed.add(TunnelEnd::idle);
  counters.tunnels_closed.add(TunnelEnd::draining, 2);
  EXPECT_EQ(counters.tunnels_active(), 1U);
  EXPECT_EQ(counters.tunnels_closed.get(TunnelEnd::draining), 2U);
}

TEST(CloseCounters, HaveAPlaceForEveryCode) {
  CloseCounters counters;
  const std::vector<std::pair<std::uint16_t, std::string_view>> cases{
      {0, "none"},  {1000, "1000"},  {1012, "1012"},      {1015, "1015"},      {1016, "other"}, {999, "other"},
      {1, "other"}, {2999, "other"}, {3000, "3000-4999"}, {4999, "3000-4999"}, {5000, "other"}, {65535, "other"}};
  for (const auto& [code, word] : cases) {
    EXPECT_EQ(CloseCounters::name_of(CloseCounters::place_of(code)), word) << code;
    const std::uint64_t before = counters.get(Closer::client, CloseCounters::place_of(code));
    counters.add(Closer::client, code);
    EXPECT_EQ(counters.get(Closer::client, CloseCounters::place_of(code)), before + 1);
    EXPECT_EQ(counters.get(Closer::proxy, CloseCounters::place_of(code)), 0U);
  }
}

TEST(CounterBook, KeepsTotalsOverAReload) {
  CounterBook book;
  auto first = book.plan(Names{"web", "admin"}, Names{"a", "b"}, Names{"app"});
  first->listeners[0]->accepted.add(7);
  first->route(0, 1).requests.add(CodeClass::success, 5);
  first->route(1, 1).requests.add(CodeClass::success, 1);
  first->pools[0]->retries.add(2);
  auto second = book.plan(Names{"other", "web"}, Names{"b"}, Names{"new", "app"});
  EXPECT_EQ(second->listeners[1]->accepted.get(), 7U);
  EXPECT_EQ(second->listeners[0]->accepted.get(), 0U);
  EXPECT_EQ(second->route(1, 0).requests.get(CodeClass::success), 5U);
  EXPECT_EQ(second->route(0, 0).requests.get(CodeClass::success), 0U);
  EXPECT_EQ(second->pools[1]->retries.get(), 2U);
}

TEST(CounterBook, ForgetsOnlyWhatNoGenerationHolds) {
  CounterBook book;
  auto first = book.plan(Names{"web", "old"}, Names{"a"}, Names{"app", "gone"});
  auto second = book.plan(Names{"web"}, Names{"a"}, Names{"app"});
  EXPECT_EQ(book.forget_unused(), 0U) << "the first generation still counts";
  second->pools[0]->retries.add(3);
  first.reset();
  EXPECT_EQ(book.forget_unused(), 3U);  // listener old, its route, pool gone
  EXPECT_EQ(book.plan(Names{}, Names{}, Names{"app"})->pools[0]->retries.get(), 3U);
}

TEST(EndpointTable, CountsBySlotAndCause) {
  EndpointTable table;
  const EndpointId low{3, 0}, high{5000, 2};
  table.prepare(low);
  table.prepare(high);
  table.at(3).requests.add(2);
  table.at(3).outcomes.add(Cause::none);
  table.at(3).outcomes.add(Cause::tcp_refused);
  table.at(5000).requests.add();
  ASSERT_NE(table.get(low), nullptr);
  EXPECT_EQ(table.get(low)->requests.get(), 2U);
  EXPECT_EQ(table.get(low)->outcomes.get(Cause::tcp_refused), 1U);
  EXPECT_EQ(table.get(low)->outcomes.sum(), 2U);
  EXPECT_EQ(table.get(high)->requests.get(), 1U);
  EXPECT_EQ(table.get(EndpointId{4, 0}), nullptr) << "never prepared";
  EXPECT_EQ(table.get(EndpointId{3, 1}), nullptr) << "another endpoint";
}

TEST(EndpointTable, StartsASlotGivenOutAnewAtZero) {
  EndpointTable table;
  table.prepare(EndpointId{3, 0});
  table.at(3).requests.add(2);
  table.prepare(EndpointId{3, 0});  // the next view names it again
  EXPECT_EQ(table.get(EndpointId{3, 0})->requests.get(), 2U);
  table.prepare(EndpointId{3, 1});
  EXPECT_EQ(table.get(EndpointId{3, 0}), nullptr);
  EXPECT_EQ(table.get(EndpointId{3, 1})->requests.get(), 0U);
}

TEST(EndpointTable, TakesCountsAboveItsBoundWithoutHarm) {
  EndpointTable table;
  constexpr std::uint32_t kAbove = EndpointTable::kPageSlots * EndpointTable::kPages;
  table.prepare(EndpointId{kAbove, 0});
  table.at(kAbove).requests.add();
  table.at(UINT32_MAX).requests.add();
  EXPECT_EQ(table.get(EndpointId{kAbove, 0}), nullptr);
}

TEST(EndpointTable, IsReadWhileItsWorkerGrowsAndCounts) {
  EndpointTable table;
  constexpr std::uint32_t kSlots = 1000;
  std::thread worker([&] {
    for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
      table.prepare(EndpointId{slot, 0});
      table.at(slot).requests.add();
    }
  });
  std::uint64_t seen = 0;
  while (seen < kSlots) {
    seen = 0;
    for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
      if (const auto* block = table.get(EndpointId{slot, 0})) seen += block->requests.get();
    }
  }
  worker.join();
  EXPECT_EQ(seen, kSlots);
}

TEST(WorkerCounters, CountParseErrorsByIndex) {
  enum class Kinds : std::uint8_t { none, bad, count };
  WorkerCounters counters;
  counters.request_errors[WorkerCounters::index_of(Kinds::bad)].add();
  counters.tls_handshake(TlsVersion::tls13, TlsResult::resumed);
  EXPECT_EQ(counters.request_errors[1].get(), 1U);
  EXPECT_EQ(counters.tls_handshakes[1].get(TlsResult::resumed), 1U);
}

}  // namespace
}  // namespace understudy::observe
