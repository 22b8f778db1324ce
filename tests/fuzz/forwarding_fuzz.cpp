// The forwarded request: whatever came in and however it is rewritten, it parses again, means the same,
// carries ours and nothing that must end here. Also who the client is, and our own answers about the request.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "proxy/http/h1_parser.hpp"
#include "proxy/http/writer.hpp"

using namespace understudy;
using namespace understudy::http;

namespace {

void demand(bool condition) {
  if (!condition) std::abort();
}

// The remaining bytes are the wire; the first say how to rewrite.
struct Choice {
  std::uint8_t bits;
  std::uint8_t strip;
  std::uint8_t add;
};

const std::array<std::string_view, 8> kPrefixes = {"", "/api", "/a/", "/", "x", "//h", "/%41", "/a b\r\n?#"};

void check(std::string_view raw, const Choice& choice) {
  const HeadLimits limits{.max_bytes = 4096, .max_fields = 40, .max_uri_bytes = 1024};
  const auto head = std::make_unique<RequestHead>();
  RequestParser parser;
  const ParseStatus status = parser.parse(raw, limits, *head);
  static const std::vector<config::Cidr> trusted = {config::parse_cidr("10.0.0.0/8").value()};
  std::array<char, 16384> area{};
  if (status == ParseStatus::error) {
    OwnAnswer answer;
    answer.status = status_of(parser.error());
    answer.reason = kind_of(parser.error());
    answer.sentence = raw.substr(0, 200);  // as bad as it gets
    answer.location = raw.substr(0, 200);
    answer.request_id = raw.substr(0, 40);
    Out out{area.data(), area.size()};
    demand(write_answer(out, answer, raw.substr(0, 100)));
    const auto response = std::make_unique<ResponseHead>();
    ResponseParser again;
    demand(again.parse(out.view(), {16384, 64, 0}, Method::get, *response) == ParseStatus::done);
    demand(response->status == answer.status && response->head_bytes + response->content_length == out.size);
  }
  if (status != ParseStatus::done) return;

  const char* base = raw.data();
  const auto peer = config::parse_ip((choice.bits & 1) != 0 ? "10.0.0.1" : "192.0.2.1").value();
  const ClientIdentity identity = identify_client(peer, *head, base, trusted);
  demand(identity.via_trusted == ((choice.bits & 1) != 0));
  demand(identity.address.family != config::SocketAddress::Family::none);
  const std::string peer_ip = peer.ip_string();
  const std::string client_ip = identity.address.ip_string();
  static const std::vector<config::HeaderRule> rules = {{config::HeaderOp::set, "X-Rule", "1"},
                                                        {config::HeaderOp::remove, "Cookie", ""},
                                                        {config::HeaderOp::set, "Transfer-Encoding", "chunked"},
                                                        {config::HeaderOp::add, "X-Bad", "a\r\nEvil: 1"}};
  RequestRewrite rewrite;
  rewrite.peer_ip = peer_ip;
  rewrite.client_ip = client_ip;
  rewrite.trusted = identity.via_trusted;
  rewrite.tls = (choice.bits & 2) != 0;
  rewrite.websocket = (choice.bits & 4) != 0;
  if ((choice.bits & 8) != 0) rewrite.rules = rules;
  rewrite.drop_websocket_extensions = (choice.bits & 16) != 0;
  rewrite.listener_port = 8080;
  rewrite.request_id = "id-12345678";
  rewrite.strip_prefix = kPrefixes[choice.strip % kPrefixes.size()];
  rewrite.add_prefix = kPrefixes[choice.add % kPrefixes.size()];
  rewrite.default_host = "endpoint:3000";
  std::array<char, 55> trace{};
  const std::array<std::uint8_t, 24> random = {1, 2, 3};
  write_traceparent(trace.data(), head->fields.value(Known::traceparent, base), random.data());
  rewrite.traceparent = {trace.data(), trace.size()};

  Out out{area.data(), area.size()};
  demand(write_request(out, *head, base, rewrite));
  const auto again = std::make_unique<RequestHead>();
  RequestParser second;
  demand(second.parse(out.view(), {16384, 80, 4096}, *again) == ParseStatus::done);
  const char* written = out.data;
  demand(again->head_bytes == out.size);
  demand(again->method_text.in(written) == head->method_text.in(base));
  demand(again->minor == 1 && again->keep_alive && !again->expect_continue);
  demand(again->framing == head->framing && again->content_length == head->content_length);
  demand(again->has_query == head->has_query && again->query.in(written) == head->query.in(base));
  const char first = written[again->target.offset];
  demand(first == '/' || (first == '*' && again->target.length == 1));
  if (head->authority.length != 0) demand(again->authority.in(written) == head->authority.in(base));
  const bool upgrade = rewrite.websocket && head->upgrade == UpgradeKind::websocket;
  demand(again->upgrade == (upgrade ? UpgradeKind::websocket : UpgradeKind::none));
  int ids = 0, chains = 0, reals = 0;
  for (std::size_t i = 0; i < again->fields.count; ++i) {
    const Field& f = again->fields.list[i];
    demand(!f.drop);
    demand(!f.hop_by_hop || f.id == Known::transfer_encoding ||
           (upgrade && (f.id == Known::connection || f.id == Known::upgrade)));
    ids += f.id == Known::x_request_id ? 1 : 0;
    chains += f.id == Known::x_forwarded_for ? 1 : 0;
    reals += f.id == Known::x_real_ip ? 1 : 0;
  }
  demand(ids == 1 && chains == 1 && reals == 1);
  demand(again->fields.value(Known::x_request_id, written) == "id-12345678");
  demand(again->fields.value(Known::x_real_ip, written) == client_ip);
  if (!identity.via_trusted) demand(again->fields.value(Known::x_forwarded_for, written) == peer_ip);
  // The next hop, which trusts us, comes to the same client (unless the chain is near the length that nobody follows).
  const std::string_view chain = again->fields.value(Known::x_forwarded_for, written);
  if (std::count(chain.begin(), chain.end(), ',') > 60) return;
  static const std::vector<config::Cidr> us = {config::parse_cidr("203.0.113.1/32").value(),
                                               config::parse_cidr("10.0.0.0/8").value()};
  if (us.front().contains(identity.address)) return;
  const auto next = identify_client(config::parse_ip("203.0.113.1").value(), *again, written, us);
  demand(next.address == identity.address);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  // An exact copy, so that a sanitizer sees reads beyond the wire's end.
  const std::vector<char> wire(data + 3, data + size);
  check({wire.data(), wire.size()}, {data[0], data[1], data[2]});
  return 0;
}
