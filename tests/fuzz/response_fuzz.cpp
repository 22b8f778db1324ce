// Response heads: as request_fuzz; and what is forwarded parses again and means the same.
#include <array>
#include <cstdlib>
#include <memory>

#include "proxy/http/writer.hpp"
#include "tests/conformance/codec_rows.hpp"

using namespace understudy::http;

namespace {

void check_rewrite(std::string_view raw, const HeadLimits& limits, Method method) {
  const auto head = std::make_unique<ResponseHead>();
  ResponseParser parser;
  if (parser.parse(raw, limits, method, *head) != ParseStatus::done) return;
  ResponseRewrite rewrite;
  rewrite.framing = head->framing;
  rewrite.content_length = head->content_length;
  rewrite.keep_length = head->has_content_length;
  rewrite.request_id = "id-12345678";
  std::array<char, 8192> area{};
  Out out{area.data(), area.size()};
  if (!write_response(out, *head, raw.data(), rewrite)) std::abort();
  const auto again = std::make_unique<ResponseHead>();
  ResponseParser second;
  const HeadLimits wide{.max_bytes = 8192, .max_fields = 64, .max_uri_bytes = 0};
  if (second.parse(out.view(), wide, method, *again) != ParseStatus::done) std::abort();
  if (again->head_bytes != out.size || again->status != head->status || again->framing != head->framing ||
      again->content_length != head->content_length || again->has_content_length != head->has_content_length) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const HeadLimits limits{.max_bytes = 2048, .max_fields = 20, .max_uri_bytes = 0};
  const Method method = (data[0] & 1) != 0 ? Method::head : Method::get;
  const std::string_view raw(reinterpret_cast<const char*>(data) + 1, size - 1);
  const rows::Verdict whole = rows::feed_response(raw, {raw.size()}, method, limits);
  const std::size_t cut = raw.size() * data[0] / 256;
  if (!(rows::feed_response(raw, {cut, raw.size()}, method, limits) == whole)) std::abort();
  if (raw.size() <= 512) {
    std::vector<std::size_t> each;
    for (std::size_t i = 1; i <= raw.size(); ++i) each.push_back(i);
    if (!(rows::feed_response(raw, each, method, limits) == whole)) std::abort();
  }
  if (whole.bytes > raw.size() || whole.bytes > limits.max_bytes) std::abort();
  check_rewrite(raw, limits, method);
  return 0;
}
