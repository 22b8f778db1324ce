// What the head writers share: appending pieces, copying unchanged lines in runs, applying header rules.
// Internal to proxy/http.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "proxy/http/known.hpp"
#include "proxy/http/writer.hpp"

namespace understudy::http {

// Valid in the strict sense of operators: version 00, lower-case hex, neither id all zeros.
bool valid_traceparent(std::string_view text);

// Writes to an Out through local pointers; finish() hands back size and overflow.
class Pen {
public:
  explicit Pen(Out& out) : out_(out), at_(out.data + out.size), end_(out.data + out.capacity), full_(out.overflow) {}

  Pen& operator<<(std::string_view s) {
    if (s.size() > static_cast<std::size_t>(end_ - at_)) {
      full_ = true;
      end_ = at_;
    } else if (!s.empty()) {
      std::memcpy(at_, s.data(), s.size());
      at_ += s.size();
    }
    return *this;
  }
  // Literals: the size is known, the copy becomes a few moves.
  template <std::size_t N>
  Pen& operator<<(const char (&s)[N]) {
    if (N - 1 > static_cast<std::size_t>(end_ - at_)) {
      full_ = true;
      end_ = at_;
    } else {
      std::memcpy(at_, s, N - 1);
      at_ += N - 1;
    }
    return *this;
  }
  Pen& operator<<(char c) { return *this << std::string_view(&c, 1); }
  Pen& operator<<(std::uint64_t n) {
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof digits, n).ptr;
    return *this << std::string_view(digits, static_cast<std::size_t>(end - digits));
  }
  // False when something did not fit.
  bool finish() {
    out_.size = static_cast<std::size_t>(at_ - out_.data);
    out_.overflow = full_;
    return !full_;
  }

private:
  Out& out_;
  char* at_;
  char* end_;
  bool full_;
};

// Copies kept fields. Lines that already read "Name: value CRLF" and stand side by side go in one piece.
class LineCopier {
public:
  LineCopier(Pen& pen, const char* base) : pen_(pen), base_(base) {}
  void keep(const Field& field) {
    const char* const name = base_ + field.name.offset;
    const char* const value = base_ + field.value.offset;
    const char* const value_end = value + field.value.length;
    // The parser guarantees the LF behind that CR.
    if (value == name + field.name.length + 2 && value[-1] == ' ' && *value_end == '\r') {
      if (name != end_) {
        flush();
        begin_ = name;
      }
      end_ = value_end + 2;
      return;
    }
    flush();
    pen_ << field.name.in(base_) << ": " << field.value.in(base_) << "\r\n";
  }
  void flush() {
    if (begin_ != end_) pen_ << std::string_view(begin_, static_cast<std::size_t>(end_ - begin_));
    begin_ = end_ = nullptr;
  }

private:
  Pen& pen_;
  const char* base_;
  const char* begin_ = nullptr;
  const char* end_ = nullptr;
};

// The operator's header rules. A rule that names a field of framing or of the connection, or that holds what
// cannot stand in a head, is ignored: configuration must not be able to split a message.
class Rules {
public:
  explicit Rules(std::span<const config::HeaderRule> rules) : rules_(rules) {}
  bool empty() const { return rules_.empty(); }
  // True if what we would write under this name must go: the name is set or removed by a rule.
  bool replaces(std::string_view name) const;
  // The value of the last `set` of this name, or an empty view.
  std::string_view set_value(std::string_view name) const;
  // Writes what `set` and `add` ask for and no later rule undoes. `skip` is left out (written elsewhere).
  void write(Pen& pen, Known skip = Known::none) const;

private:
  static bool permitted(const config::HeaderRule& rule);
  std::span<const config::HeaderRule> rules_;
};

// "host[:port]" that may stand in Host.
bool valid_authority(std::string_view text);

}  // namespace understudy::http
