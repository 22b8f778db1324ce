#include "proxy/observe/client_evidence.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace understudy::observe {
namespace {

using health::Cause;
using namespace std::chrono_literals;

TEST(ClientEvidence, CostsNothingWhileAllIsWell) {
  LazyClientEvidence evidence;
  evidence.answered(7, 5ms, false);
  evidence.ended(7, Cause::none);
  EXPECT_EQ(evidence.get(), nullptr);
}

TEST(ClientEvidence, WhoCausesMostHoldsThePlaceAndIsCountedWhole) {
  ClientEvidence evidence;
  for (std::uint64_t i = 0; i < 300; ++i) {
    const std::uint64_t client = i % 3 == 0 ? 100 + i : 7;  // two of three failures are of one client
    evidence.answered(client, 5ms, false);
    evidence.ended(client, Cause::http_status);
    evidence.ended(8, Cause::none);
  }
  evidence.answered(7, 5ms, false);
  evidence.ended(7, Cause::none);
  const ClientEvidence::Counts counts = evidence.read();
  EXPECT_EQ(counts.client, 7U);
  EXPECT_EQ(counts.successes, 1U);
  EXPECT_GE(counts.failures, 190U);
  EXPECT_LE(counts.failures, 200U);
}

TEST(ClientEvidence, SlowAnswersAreBlamedTooAndRefusedConnectionsAreNobodys) {
  ClientEvidence evidence;
  evidence.ended(9, Cause::tcp_refused);
  EXPECT_EQ(evidence.read().client, 0U);
  evidence.answered(7, 900ms, true);
  evidence.ended(7, Cause::none);
  const ClientEvidence::Counts counts = evidence.read();
  EXPECT_EQ(counts.client, 7U);
  EXPECT_EQ(counts.bad, 1U);
  EXPECT_EQ(counts.failures, 0U);
  EXPECT_EQ(counts.successes, 1U);
  EXPECT_EQ(counts.first_byte[health::latency_bucket_of(900'000)], 1U);
}

TEST(ClientEvidence, TheNextOneToBlameNeedNotOutdoAllThatWasEverBad) {
  ClientEvidence evidence;
  for (int i = 0; i < 10'000; ++i) evidence.ended(7, Cause::http_status);
  for (int i = 0; i < 80; ++i) evidence.ended(8, Cause::http_status);
  EXPECT_EQ(evidence.read().client, 8U);
  EXPECT_EQ(evidence.read().failures, 16U);
}

TEST(ClientEvidenceReader, TakesWhatCameSinceAndAddsUpTheWorkers) {
  ClientEvidence first, second, third;
  ClientEvidenceReader reader;
  for (int i = 0; i < 4; ++i) first.ended(7, Cause::http_status);
  for (int i = 0; i < 3; ++i) second.ended(7, Cause::http_status);
  for (int i = 0; i < 5; ++i) third.ended(8, Cause::http_status);
  const std::vector<const ClientEvidence*> workers{&first, nullptr, &second, &third};
  EXPECT_EQ(reader.take(workers).failures, 7U);
  EXPECT_EQ(reader.take(workers).failures, 0U);
  first.ended(7, Cause::none);
  first.answered(7, 5ms, false);
  const ClientEvidenceReader::Client client = reader.take(workers);
  EXPECT_EQ(client.successes, 1U);
  EXPECT_EQ(client.first_byte.total, 1U);
  second.reset();  // its place among the endpoints was given to another
  second.ended(7, Cause::http_status);
  EXPECT_EQ(reader.take(workers).failures, 1U);
}

TEST(ClientEvidenceReader, MayReadWhileAWorkerWrites) {
  LazyClientEvidence evidence;
  std::thread worker([&] {
    for (std::uint64_t i = 0; i < 100'000; ++i) {
      evidence.answered(i % 5, 5ms, i % 7 == 0);
      evidence.ended(i % 5, i % 3 == 0 ? Cause::http_status : Cause::none);
    }
  });
  ClientEvidenceReader reader;
  std::uint64_t seen = 0;
  for (int i = 0; i < 1000; ++i) seen += reader.take({evidence.get()}).failures;
  worker.join();
  seen += reader.take({evidence.get()}).failures;
  EXPECT_LE(seen, 100'000U);
}

TEST(BusiestClient, IsWhoAsksMoreThanHalf) {
  BusiestClient busiest;
  for (std::uint64_t i = 0; i < 300; ++i) busiest.ended(i % 3 == 0 ? 100 + i : 7);
  EXPECT_EQ(busiest.read().client, 7U);
  ClientEvidenceReader reader;
  BusiestClient other;
  other.ended(7);
  const std::vector<const BusiestClient*> workers{&busiest, &other, nullptr};
  EXPECT_EQ(reader.take(workers).id, 7U);
  other.ended(7);
  busiest.ended(7);
  EXPECT_EQ(reader.take(workers).requests, 2U);
}

}  // namespace
}  // namespace understudy::observe
