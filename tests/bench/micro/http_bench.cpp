// What the codec costs per head. Build with -DUNDERSTUDY_BENCH=ON, or by hand against Google Benchmark.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <string>

#include "proxy/http/body.hpp"
#include "proxy/http/h1_parser.hpp"
#include "proxy/http/writer.hpp"

namespace {

using namespace understudy::http;

const std::string kSmall =
    "GET /index.html HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nX-Id: "
    "12\r\n\r\n";

const std::string kBrowser = [] {
  std::string head =
      "GET /assets/app/main.3f9c2b.js?v=20260101 HTTP/1.1\r\n"
      "Host: www.example.org\r\n"
      "Connection: keep-alive\r\n"
      "sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n"
      "sec-ch-ua-mobile: ?0\r\n"
      "sec-ch-ua-platform: \"Linux\"\r\n"
      "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
      "Safari/537.36\r\n"
      "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
      "Sec-Fetch-Site: same-origin\r\n"
      "Sec-Fetch-Mode: no-cors\r\n"
      "Sec-Fetch-Dest: script\r\n"
      "Referer: https://www.example.org/account/overview\r\n"
      "Accept-Encoding: gzip, deflate, br, zstd\r\n"
      "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
      "Cookie: session=";
  head += std::string(837 - head.size() - 4, 'c');
  return head + "\r\n\r\n";
}();

const std::string kAnswer =
    "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sun, 22 Nov 2026 02:34:36 GMT\r\nContent-Type: text/html\r\n"
    "Content-Length: 128\r\nLast-Modified: Sun, 22 Nov 2026 02:00:00 GMT\r\n\r\n";

RequestRewrite rewrite() {
  RequestRewrite r;
  r.peer_ip = r.client_ip = "192.0.2.123";
  r.listener_port = 8080;
  r.request_id = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
  r.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  return r;
}

void parse_request(benchmark::State& state, const std::string& raw) {
  const auto head = std::make_unique<RequestHead>();
  const HeadLimits limits;
  for (auto _ : state) {
    RequestParser parser;
    if (parser.parse(raw, limits, *head) != ParseStatus::done) state.SkipWithError("not parsed");
    benchmark::DoNotOptimize(head->head_bytes);
    benchmark::ClobberMemory();
  }
  state.counters["bytes"] = static_cast<double>(raw.size());
}

void rewrite_request(benchmark::State& state, const std::string& raw) {
  const auto head = std::make_unique<RequestHead>();
  const HeadLimits limits;
  std::array<char, 4096> area{};
  const RequestRewrite how = rewrite();
  for (auto _ : state) {
    RequestParser parser;
    if (parser.parse(raw, limits, *head) != ParseStatus::done) state.SkipWithError("not parsed");
    Out out{area.data(), area.size()};
    if (!write_request(out, *head, raw.data(), how)) state.SkipWithError("not written");
    benchmark::DoNotOptimize(out.size);
    benchmark::ClobberMemory();
  }
}

void parse_response(benchmark::State& state) {
  const auto head = std::make_unique<ResponseHead>();
  const HeadLimits limits;
  for (auto _ : state) {
    ResponseParser parser;
    if (parser.parse(kAnswer, limits, Method::get, *head) != ParseStatus::done) state.SkipWithError("not parsed");
    benchmark::DoNotOptimize(head->head_bytes);
    benchmark::ClobberMemory();
  }
  state.counters["bytes"] = static_cast<double>(kAnswer.size());
}

// One whole small exchange: request parsed and rewritten, answer parsed and rewritten.
void exchange(benchmark::State& state) {
  const auto head = std::make_unique<RequestHead>();
  const auto answer = std::make_unique<ResponseHead>();
  const HeadLimits limits;
  std::array<char, 4096> up{}, down{};
  const RequestRewrite how = rewrite();
  for (auto _ : state) {
    RequestParser parser;
    bool good = parser.parse(kSmall, limits, *head) == ParseStatus::done;
    Out out{up.data(), up.size()};
    good = good && write_request(out, *head, kSmall.data(), how);
    ResponseParser response_parser;
    good = good && response_parser.parse(kAnswer, limits, head->method, *answer) == ParseStatus::done;
    ResponseRewrite back;
    back.framing = answer->framing;
    back.content_length = answer->content_length;
    back.request_id = how.request_id;
    Out written{down.data(), down.size()};
    good = good && write_response(written, *answer, kAnswer.data(), back);
    if (!good) state.SkipWithError("failed");
    benchmark::DoNotOptimize(written.size);
    benchmark::ClobberMemory();
  }
}

void decode_chunked(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  std::string wire;
  char line[20];
  for (std::size_t done = 0; done < 64 * 1024; done += size) {
    wire.append(line, write_chunk_prefix(line, size, done == 0));
    wire.append(size, 'x');
  }
  wire.append(line, write_last_chunk(line, false));
  std::string work = wire;
  for (auto _ : state) {
    state.PauseTiming();
    work = wire;
    state.ResumeTiming();
    BodyDecoder decoder = BodyDecoder::make(Framing::chunked, 0, UINT64_MAX);
    if (!decoder.decode(work.data(), work.size()).done) state.SkipWithError("not done");
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * 64 * 1024);
}

BENCHMARK_CAPTURE(parse_request, small_99B, kSmall);
BENCHMARK_CAPTURE(parse_request, browser_837B, kBrowser);
BENCHMARK_CAPTURE(rewrite_request, small_99B, kSmall);
BENCHMARK_CAPTURE(rewrite_request, browser_837B, kBrowser);
BENCHMARK(parse_response);
BENCHMARK(exchange);
BENCHMARK(decode_chunked)->Arg(64)->Arg(1024)->Arg(16384);

}  // namespace
