#include "proxy/drill/load.hpp"

#include <algorithm>
#include <boost/asio/write.hpp>
#include <charconv>
#include <cstring>

#include "proxy/drill/ledger.hpp"
#include "proxy/http/body.hpp"
#include "proxy/http/h1_parser.hpp"

namespace understudy::drill {

using boost::system::error_code;

namespace {
constexpr Micros kLate{50'000};

std::string head_of(const Target& target, const char* method) {
  std::string text = std::string(method) + " " + target.path + " HTTP/1.1\r\nHost: " + target.host +
                     "\r\nUser-Agent: understudy-drill\r\n";
  for (const auto& [name, value] : target.headers) text += name + ": " + value + "\r\n";
  return text;
}

std::int16_t origin_of(const http::ResponseHead& head, const char* base) {
  for (std::uint16_t i = 0; i < head.fields.count; ++i) {
    const http::Field& field = head.fields.list[i];
    const std::string_view name = field.name.in(base), value = field.value.in(base);
    std::int16_t index = -1;
    if (name.size() == kOriginField.size() && ::strncasecmp(name.data(), kOriginField.data(), name.size()) == 0 &&
        std::from_chars(value.data(), value.data() + value.size(), index).ec == std::errc{})
      return index;
  }
  return -1;
}
}  // namespace

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::pending: return "pending";
    case Outcome::answered: return "answered";
    case Outcome::status: return "status";
    case Outcome::refused: return "refused";
    case Outcome::closed: return "closed";
    case Outcome::malformed: return "malformed";
    case Outcome::timeout: return "timeout";
  }
  return "";
}

// One keep-alive connection, one request at a time. It always reads, so that a close while idle is noticed.
class LoadConnection : public std::enable_shared_from_this<LoadConnection> {
public:
  LoadConnection(asio::io_context& io, Load& load) : load_(load), socket_(io), deadline_(io) {}

  void send(std::uint64_t id, bool post);
  void close() {
    error_code ignored;
    closed_ = true;
    deadline_.cancel();
    socket_.close(ignored);
  }

private:
  void connect();
  void write();
  void read();
  void take();
  void end(Outcome outcome, bool reusable);

  Load& load_;
  tcp::socket socket_;
  asio::steady_timer deadline_;
  bool connected_ = false, closed_ = false, busy_ = false;
  std::uint64_t id_ = 0;
  std::string out_, in_;
  std::array<char, 8192> chunk_{};
  http::ResponseParser parser_;
  std::unique_ptr<http::ResponseHead> head_ = std::make_unique<http::ResponseHead>();
  std::optional<http::BodyDecoder> body_;
  std::size_t generation_ = 0;
  std::int16_t origin_ = -1;
};

void LoadConnection::send(std::uint64_t id, bool post) {
  const LoadSettings& settings = load_.settings();
  busy_ = true;
  id_ = id;
  out_ = head_of(settings.target, post ? "POST" : "GET") + std::string(kIdField) + ": " + std::to_string(id) + "\r\n";
  if (post) {
    out_ += "Content-Type: text/plain\r\nContent-Length: " + std::to_string(settings.load.body) + "\r\n\r\n";
    out_.append(settings.load.body, 'x');
  } else {
    out_ += "\r\n";
  }
  in_.clear();
  parser_.reset();
  body_.reset();
  deadline_.expires_after(settings.load.patience);
  deadline_.async_wait([this, self = shared_from_this(), generation = ++generation_](error_code error) {
    if (!error && busy_ && generation == generation_) end(Outcome::timeout, false);
  });
  if (connected_) {
    write();
  } else {
    connect();
  }
}

void LoadConnection::connect() {
  error_code ignored;
  socket_.open(tcp::v4(), ignored);
  // Several clients: the proxy limits, and weighs, by address.
  socket_.bind({asio::ip::address_v4(0x7f010001U + load_.next_client()), 0}, ignored);
  socket_.async_connect(load_.settings().proxy, [this, self = shared_from_this()](error_code error) {
    if (closed_) return;
    if (error) return end(Outcome::refused, false);
    connected_ = true;
    socket_.set_option(tcp::no_delay(true), error);
    read();
    write();
  });
}

void LoadConnection::write() {
  asio::async_write(socket_, asio::buffer(out_), [this, self = shared_from_this()](error_code error, std::size_t) {
    // The answer, or the end, is seen by read(): it may have come before all was written.
    if (error) out_.clear();
  });
}

void LoadConnection::read() {
  socket_.async_read_some(asio::buffer(chunk_), [this, self = shared_from_this()](error_code error, std::size_t n) {
    if (closed_) return;
    if (error) {
      if (!busy_) return load_.lost(self);
      const bool whole = body_ && error == asio::error::eof && body_->finish_at_eof();
      return end(whole ? (head_->status < 400 ? Outcome::answered : Outcome::status) : Outcome::closed, false);
    }
    if (!busy_) return load_.lost(self);  // nobody asked
    in_.append(chunk_.data(), n);
    take();
    if (!closed_) read();
  });
}

void LoadConnection::take() {
  while (!body_) {
    switch (parser_.parse(in_, {64 * 1024, 100, 0}, http::Method::get, *head_)) {
      case http::ParseStatus::need_more: return;
      case http::ParseStatus::error: return end(Outcome::malformed, false);
      case http::ParseStatus::done: break;
    }
    const bool informational = head_->status < 200;
    if (!informational) {
      origin_ = origin_of(*head_, in_.data());
      body_ = http::BodyDecoder::make(head_->framing, head_->content_length, UINT64_MAX);
    }
    in_.erase(0, head_->head_bytes);
    parser_.reset();
  }
  if (!body_->done()) {
    const http::DecodeResult part = body_->decode(in_.data(), in_.size());
    in_.erase(0, part.consumed);
    if (part.error != http::ParseError::none) return end(Outcome::malformed, false);
    if (!body_->done()) return;
  }
  end(head_->status < 400 ? Outcome::answered : Outcome::status, head_->keep_alive && in_.empty());
}

void LoadConnection::end(Outcome outcome, bool reusable) {
  RequestRecord seen;
  seen.outcome = outcome;
  if (body_) {
    seen.status = head_->status;
    seen.origin = origin_;
  }
  busy_ = false;
  origin_ = -1;
  deadline_.cancel();
  if (!reusable) close();
  load_.ended(shared_from_this(), id_, seen, reusable);
}

Load::Load(asio::io_context& io, LoadSettings settings) : io_(io), settings_(std::move(settings)), timer_(io) {
  total_ = static_cast<std::uint64_t>(settings_.load.rate * std::chrono::duration<double>(settings_.length).count());
  records_.reserve(total_);
}

Load::~Load() = default;

Clock::time_point Load::due_of(std::uint64_t id) const {
  return begin_ + std::chrono::duration_cast<Clock::duration>(
                      std::chrono::duration<double>(static_cast<double>(id) / settings_.load.rate));
}

void Load::start(Clock::time_point begin, std::function<void()> done) {
  begin_ = begin;
  done_ = std::move(done);
  arm();
}

void Load::arm() {
  if (records_.size() == total_) {
    if (open_ == 0) done_();
    return;
  }
  timer_.expires_at(due_of(records_.size()));
  timer_.async_wait([this](error_code error) {
    if (!error) send_due();
  });
}

void Load::send_due() {
  while (records_.size() < total_ && due_of(records_.size()) <= Clock::now()) send(records_.size());
  arm();
}

void Load::send(std::uint64_t id) {
  RequestRecord record;
  record.due = std::chrono::duration_cast<Micros>(due_of(id) - begin_);
  record.late = std::chrono::duration_cast<Micros>(Clock::now() - due_of(id));
  post_debt_ += settings_.load.post;
  record.post = post_debt_ >= 1 - 1e-9;
  if (record.post) post_debt_ -= 1;
  records_.push_back(record);
  ++open_;
  std::shared_ptr<LoadConnection> connection;
  if (idle_.empty()) {
    connection = std::make_shared<LoadConnection>(io_, *this);
    all_.insert(connection);
  } else {
    connection = std::move(idle_.back());
    idle_.pop_back();
  }
  connection->send(id, record.post);
}

void Load::ended(const std::shared_ptr<LoadConnection>& connection, std::uint64_t id, RequestRecord seen,
                 bool reusable) {
  RequestRecord& record = records_[id];
  record.outcome = seen.outcome;
  record.status = seen.status;
  record.origin = seen.origin;
  record.latency = std::chrono::duration_cast<Micros>(Clock::now() - begin_) - record.due;
  --open_;
  failed_ += seen.outcome == Outcome::answered ? 0 : 1;
  if (reusable) {
    idle_.push_back(connection);
  } else {
    all_.erase(connection);
  }
  if (open_ == 0 && records_.size() == total_) done_();
}

void Load::lost(const std::shared_ptr<LoadConnection>& connection) {
  connection->close();
  std::erase(idle_, connection);
  all_.erase(connection);
}

void Load::stop() {
  timer_.cancel();
  for (const auto& connection : std::set<std::shared_ptr<LoadConnection>>(all_)) connection->close();
  all_.clear();
  idle_.clear();
}

Pace pace_of(std::vector<Micros> late) {
  Pace pace;
  if (late.empty()) return pace;
  std::sort(late.begin(), late.end());
  pace.p99 = late[(late.size() - 1) * 99 / 100];
  pace.worst = late.back();
  const auto too_late = late.end() - std::upper_bound(late.begin(), late.end(), kLate);
  pace.late_share = static_cast<double>(too_late) / static_cast<double>(late.size());
  return pace;
}

}  // namespace understudy::drill
