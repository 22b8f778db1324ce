// Body decoding: whole, in two pieces and byte by byte give the same payload, the same end and the same rest.
#include <cstdlib>

#include "tests/conformance/codec_rows.hpp"

using namespace understudy::http;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const std::string_view raw(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::uint64_t max = (data[1] & 0x80) != 0 ? data[1] & 0x7f : UINT64_MAX;
  const auto decoder = [&] { return BodyDecoder::make(Framing::chunked, 0, max); };
  const rows::BodyVerdict whole = rows::feed_body(raw, {raw.size()}, decoder());
  const std::size_t cut = raw.size() * data[0] / 256;
  if (!(rows::feed_body(raw, {cut, raw.size()}, decoder()) == whole)) std::abort();
  std::vector<std::size_t> each;
  for (std::size_t i = 1; i <= raw.size(); ++i) each.push_back(i);
  if (!(rows::feed_body(raw, each, decoder()) == whole)) std::abort();
  if (whole.end == "stuck" || whole.consumed > raw.size() || whole.payload.size() > whole.consumed) std::abort();
  if (max != UINT64_MAX && whole.payload.size() > max) std::abort();

  // What was understood can be written again and means the same.
  if (whole.end == "done") {
    char line[20];
    std::string again;
    if (!whole.payload.empty()) {
      again.assign(line, write_chunk_prefix(line, whole.payload.size(), true));
      again += whole.payload;
    }
    again.append(line, write_last_chunk(line, whole.payload.empty()));
    const rows::BodyVerdict second =
        rows::feed_body(again, {again.size()}, BodyDecoder::make(Framing::chunked, 0, max));
    if (second.end != "done" || second.payload != whole.payload || second.consumed != again.size()) std::abort();
  }
  return 0;
}
