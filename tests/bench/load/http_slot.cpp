// HTTP/1.1 requests with answers of known length.
#include <algorithm>
#include <string_view>

#include "tests/bench/load/heads.hpp"
#include "tests/bench/load/pattern.hpp"
#include "tests/bench/load/slot.hpp"

namespace bench {

namespace {

class HttpSlot final : public Slot {
public:
  using Slot::Slot;

protected:
  void begin() override {
    head_.clear();
    in_body_ = false;
    body_ = 0;
  }

  Taken take(const char* data, std::size_t size) override {
    if (in_body_) return take_body(data, size);
    if (!head_.empty()) {  // a head that came in pieces
      head_.append(data, size);
      const std::string whole = std::move(head_);
      head_.clear();
      return take_head(whole.data(), whole.size());
    }
    return take_head(data, size);
  }

private:
  Taken take_head(const char* data, std::size_t size) {
    const std::size_t length = head_length(data, size);
    if (length == 0) {
      head_.assign(data, size);
      return size < 16 * 1024 ? Taken::more : wrong("head without end");
    }
    const std::string_view head(data, length);
    if (head.size() < 12 || head.substr(9, 3) != "200") return wrong("status " + std::string(head.substr(0, 12)));
    if (number_field(head, "content-length") != context_.job.expect) {
      return wrong("Content-Length '" + std::string(field(head, "content-length")) + "'");
    }
    in_body_ = true;
    return take_body(data + length, size - length);
  }

  Taken take_body(const char* data, std::size_t size) {
    if (context_.job.verify && !matches_pattern(body_, data, size)) {
      return wrong("wrong byte in the body after " + std::to_string(body_));
    }
    body_ += size;
    context_.tally.bytes += size;
    if (body_ < context_.job.expect) return Taken::more;
    return body_ == context_.job.expect ? Taken::answered : wrong("bytes after the body");
  }

  std::string head_;
  bool in_body_ = false;
  std::size_t body_ = 0;
};

}  // namespace

std::unique_ptr<Slot> make_http_slot(Context& context, unsigned number) {
  return std::make_unique<HttpSlot>(context, number);
}

}  // namespace bench
