// Request heads: no crash, and the verdict on a whole buffer is the verdict on its pieces.
#include <cstdlib>

#include "tests/conformance/codec_rows.hpp"

using namespace understudy::http;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  // The first byte chooses a cut, the rest is the wire. Small limits so that they are met.
  const HeadLimits limits{.max_bytes = 2048, .max_fields = 20, .max_uri_bytes = 256};
  const std::string_view raw(reinterpret_cast<const char*>(data) + 1, size - 1);
  const rows::Verdict whole = rows::feed_request(raw, {raw.size()}, limits);
  const std::size_t cut = raw.size() * data[0] / 256;
  if (!(rows::feed_request(raw, {cut, raw.size()}, limits) == whole)) std::abort();
  if (raw.size() <= 512) {
    std::vector<std::size_t> each;
    for (std::size_t i = 1; i <= raw.size(); ++i) each.push_back(i);
    if (!(rows::feed_request(raw, each, limits) == whole)) std::abort();
  }
  if (whole.bytes > raw.size() || whole.bytes > limits.max_bytes) std::abort();
  return 0;
}
