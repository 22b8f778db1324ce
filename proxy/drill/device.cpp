#include "proxy/drill/device.hpp"

#include <algorithm>
#include <boost/asio/write.hpp>
#include <charconv>
#include <deque>

#include "proxy/demo/frames.hpp"
#include "proxy/drill/ledger.hpp"
#include "proxy/http/h1_parser.hpp"

namespace understudy::drill {

using boost::system::error_code;

namespace {
constexpr const char* kKey = "dGhlIHNhbXBsZSBub25jZQ==";
// Ids of openings are beyond those of requests.
constexpr std::uint64_t kFirstId = 1'000'000'000;
}  // namespace

class Device : public std::enable_shared_from_this<Device> {
public:
  Device(Devices& devices, std::uint64_t number)
      : devices_(devices), number_(number), socket_(devices.io_), timer_(devices.io_), leave_(devices.io_) {}

  void open_in(Micros pause);
  void close() {
    error_code ignored;
    timer_.cancel();
    leave_.cancel();
    socket_.close(ignored);
  }

private:
  void open();
  void opened();
  void read();
  void take();
  void take_frames();
  void ask();
  void write(std::string bytes);
  void write_next();
  void leave();
  void end(const std::string& why);

  Devices& devices_;
  std::uint64_t number_;
  tcp::socket socket_;
  asio::steady_timer timer_, leave_;
  std::uint64_t generation_ = 0;  // of the connection; what belongs to an earlier one is ignored
  bool open_ = false, leaving_ = false, writing_ = false;
  std::uint64_t sent_ = 0, echoed_ = 0;
  Clock::time_point begun_{};
  std::string in_;
  std::deque<std::string> out_;
  std::array<char, 4096> chunk_{};
};

void Device::open_in(Micros pause) {
  timer_.expires_after(pause);
  timer_.async_wait([this, self = shared_from_this()](error_code error) {
    if (!error && !devices_.stopped_) open();
  });
}

void Device::open() {
  const LoadSettings& settings = devices_.settings_;
  ++generation_;
  begun_ = Clock::now();
  in_.clear();
  out_.clear();
  writing_ = leaving_ = false;
  sent_ = echoed_ = 0;
  error_code ignored;
  socket_ = tcp::socket(devices_.io_);
  socket_.open(tcp::v4(), ignored);
  socket_.bind({asio::ip::address_v4(0x7f020001U + static_cast<std::uint32_t>(number_ % 250)), 0}, ignored);
  leave_.expires_after(settings.load.patience);
  leave_.async_wait([this, self = shared_from_this(), generation = generation_](error_code error) {
    if (!error && generation == generation_ && !open_) end("no opening");
  });
  socket_.async_connect(settings.proxy, [this, self = shared_from_this(), generation = generation_](error_code error) {
    if (generation != generation_ || !socket_.is_open()) return;
    if (error) return end("refused");
    const Target& target = devices_.settings_.target;
    std::string head = "GET " + target.path + " HTTP/1.1\r\nHost: " + target.host + "\r\n";
    for (const auto& [name, value] : target.headers) head += name + ": " + value + "\r\n";
    head += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
            std::string(kKey) + "\r\n" + std::string(kIdField) + ": " + std::to_string(kFirstId + number_) + "\r\n\r\n";
    write(std::move(head));
    read();
  });
}

void Device::read() {
  socket_.async_read_some(asio::buffer(chunk_),
                          [this, self = shared_from_this(), generation = generation_](error_code error, std::size_t n) {
                            if (generation != generation_) return;
                            if (error) return end(error == asio::error::eof ? "ended" : "reset");
                            in_.append(chunk_.data(), n);
                            take();
                            if (generation == generation_ && socket_.is_open()) read();
                          });
}

void Device::take() {
  if (open_) return take_frames();
  http::ResponseParser parser;
  const auto head = std::make_unique<http::ResponseHead>();
  const auto status = parser.parse(in_, {64 * 1024, 100, 0}, http::Method::get, *head);
  if (status == http::ParseStatus::need_more) return;
  if (status == http::ParseStatus::error) return end("malformed");
  if (head->status != 101) {
    devices_.counts_.refused_openings += head->status >= 500 ? 1 : 0;
    return end("status " + std::to_string(head->status));
  }
  in_.erase(0, head->head_bytes);
  opened();
  take_frames();
}

void Device::opened() {
  open_ = true;
  ++devices_.counts_.opened;
  ++devices_.counts_.open;
  devices_.counts_.opening_times.push_back(std::chrono::duration_cast<Micros>(Clock::now() - begun_));
  leave_.cancel();
  if (const auto session = devices_.settings_.load.session) {
    leave_.expires_after(*session);
    leave_.async_wait([this, self = shared_from_this(), generation = generation_](error_code error) {
      if (!error && generation == generation_) leave();
    });
  }
  ask();
}

void Device::ask() {
  write(demo::write_frame(1, std::to_string(++sent_), true));
  ++devices_.counts_.sent;
  timer_.expires_after(devices_.settings_.load.message_interval);
  timer_.async_wait([this, self = shared_from_this(), generation = generation_](error_code error) {
    if (!error && generation == generation_ && open_ && !leaving_) ask();
  });
}

void Device::take_frames() {
  while (open_) {
    const auto frame = demo::take_frame(in_);
    if (!frame) return;
    if (frame->opcode == 9) write(demo::write_frame(10, frame->payload, true));
    if (frame->opcode == 8) {
      const auto byte = [&frame](std::size_t i) { return static_cast<unsigned char>(frame->payload[i]); };
      const unsigned code = frame->payload.size() < 2 ? 1005U : byte(0) * 256U + byte(1);
      return end("closed " + std::to_string(code));
    }
    if (frame->opcode != 1) continue;
    std::uint64_t number = 0;
    std::from_chars(frame->payload.data(), frame->payload.data() + frame->payload.size(), number);
    if (number <= echoed_ || number > sent_) {  // told twice, or never asked
      ++devices_.counts_.out_of_order;
      continue;
    }
    ++devices_.counts_.echoed;
    devices_.counts_.lost += number - echoed_ - 1;  // a tunnel that was parked may lose some and go on
    echoed_ = number;
  }
}

void Device::write(std::string bytes) {
  out_.push_back(std::move(bytes));
  if (!writing_) write_next();
}

void Device::write_next() {
  if (out_.empty()) return;
  writing_ = true;
  asio::async_write(socket_, asio::buffer(out_.front()),
                    [this, self = shared_from_this(), generation = generation_](error_code error, std::size_t) {
                      if (generation != generation_) return;
                      writing_ = false;
                      if (!out_.empty()) out_.pop_front();
                      if (!error) write_next();  // else the reader sees the end
                    });
}

void Device::leave() {
  leaving_ = true;
  write(demo::write_frame(8, std::string_view("\x03\xe8", 2), true));
}

void Device::end(const std::string& why) {
  DeviceCounts& counts = devices_.counts_;
  ++generation_;
  close();
  if (devices_.stopped_) return;
  if (open_) {
    --counts.open;
    counts.lost += sent_ - echoed_;
    if (leaving_) {
      ++counts.left;
    } else {
      ++counts.dropped;
      ++counts.reasons[why];
      counts.cut += why == "closed " + std::to_string(devices_.settings_.target.close_code) ? 0 : 1;
      counts.drop_times.push_back(Clock::now());
    }
  } else {
    ++counts.failed_openings;
  }
  open_ = false;
  const Micros pause = devices_.settings_.load.reconnect;
  open_in(pause + Micros(std::uniform_int_distribution<Micros::rep>(0, pause.count())(devices_.random_)));
}

std::uint64_t busiest_second(const std::vector<Clock::time_point>& times) {
  std::size_t most = 0;
  for (std::size_t first = 0, last = 0; last < times.size(); ++last) {
    while (times[last] - times[first] >= std::chrono::seconds(1)) ++first;
    most = std::max(most, last - first + 1);
  }
  return most;
}

Devices::Devices(asio::io_context& io, LoadSettings settings) : io_(io), settings_(std::move(settings)) {}
Devices::~Devices() = default;

void Devices::start() {
  const std::uint32_t count = settings_.load.websockets;
  for (std::uint32_t i = 0; i < count; ++i) {
    devices_.push_back(std::make_shared<Device>(*this, i));
    devices_.back()->open_in(Micros(std::chrono::seconds(1)) * i / count);
  }
}

void Devices::stop() {
  stopped_ = true;
  for (const auto& device : devices_) device->close();
}

}  // namespace understudy::drill
