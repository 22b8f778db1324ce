#include "proxy/drill/origin.hpp"

#include <linux/filter.h>
#include <sys/socket.h>

#include <algorithm>
#include <stdexcept>

#include "proxy/drill/origin_session.hpp"

namespace understudy::drill {

using boost::system::error_code;
using namespace std::chrono_literals;
using Sockets = Behaviour::Sockets;

namespace {
constexpr int kQueue = 4096;
constexpr std::size_t kFillers = 4;
}  // namespace

void set_deaf(int descriptor, bool deaf) {
  sock_filter drop_all{BPF_RET | BPF_K, 0, 0, 0};
  const sock_fprog program{1, &drop_all};
  const int nothing = 0;
  if (deaf) {
    ::setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
  } else {
    ::setsockopt(descriptor, SOL_SOCKET, SO_DETACH_FILTER, &nothing, sizeof nothing);
  }
}

Origin::Origin(asio::io_context& io, OriginScript script, OriginSettings settings, Ledger& ledger)
    : io_(io),
      script_(std::move(script)),
      settings_(std::move(settings)),
      ledger_(ledger),
      random_(settings_.index + 1),
      acceptor_(io),
      reservation_(io),
      changes_(script_.changes()),
      timer_(io) {
  reserve();
  listen();
}

Origin::~Origin() = default;

void Origin::reserve() {
  reservation_.open(tcp::v4());
  reservation_.set_option(asio::socket_base::reuse_address(true));
  reservation_.bind({asio::ip::address_v4::loopback(), 0});
  port_ = reservation_.local_endpoint().port();
}

void Origin::listen() {
  acceptor_.open(tcp::v4());
  acceptor_.set_option(asio::socket_base::reuse_address(true));
  acceptor_.bind({asio::ip::address_v4::loopback(), port_});
  acceptor_.listen(kQueue);
  acceptor_.non_blocking(true);
  accept();
}

// While frozen nothing is accepted: the kernel completes handshakes, nobody is home.
void Origin::accept() {
  if (accepting_ || !acceptor_.is_open() || is_frozen()) return;
  accepting_ = true;
  acceptor_.async_accept([this](error_code error, tcp::socket socket) {
    accepting_ = false;
    if (!acceptor_.is_open()) return;
    if (!error) {
      count_opening();
      auto session = std::make_shared<OriginSession>(*this, std::move(socket));
      sessions_.insert(session);
      session->start();
    }
    accept();
  });
}

void Origin::count_opening() {
  const Behaviour is = behaviour();
  const Clock::time_point now = Clock::now();
  openings_.push_back(now);
  while (!openings_.empty() && openings_.front() < now - 1s) openings_.pop_front();
  if (is.cold && openings_.size() > *is.cold) collapsed_until_ = now + 1s;
}

Behaviour Origin::behaviour() const {
  if (!begin_) return script_.at(Micros(-1));
  return script_.at(std::chrono::duration_cast<Micros>(Clock::now() - *begin_));
}

void Origin::begin(Clock::time_point at) {
  begin_ = at;
  next_change_ = 0;
  change();
}

void Origin::change() {
  become(behaviour().sockets);
  while (next_change_ < changes_.size() && *begin_ + changes_[next_change_] <= Clock::now()) ++next_change_;
  if (next_change_ == changes_.size()) return;
  timer_.expires_at(*begin_ + changes_[next_change_]);
  timer_.async_wait([this](error_code error) {
    if (!error) change();
  });
}

void Origin::become(Sockets sockets) {
  const Sockets before = std::exchange(sockets_, sockets);
  if (before == sockets) return;
  if (before == Sockets::unreachable || sockets == Sockets::unreachable) {
    const bool deaf = sockets == Sockets::unreachable;
    if (acceptor_.is_open()) set_deaf(acceptor_.native_handle(), deaf);
    for (const auto& session : sessions_) session->set_deaf(deaf);
  }
  if (before == Sockets::full) {
    fillers_.clear();
    if (acceptor_.is_open()) ::listen(acceptor_.native_handle(), kQueue);
  }
  if (sockets == Sockets::full) fill_queue();
  if (sockets == Sockets::killed) drop_all(true);
  if (before == Sockets::killed) listen();
  if (sockets != Sockets::well) {
    error_code ignored;
    if (acceptor_.is_open()) acceptor_.cancel(ignored);
    return;
  }
  accept();
  for (const auto& session : std::set<std::shared_ptr<OriginSession>>(sessions_)) session->resume();
}

// The shortest queue, and connections of our own in it, so that the next SYN is dropped.
void Origin::fill_queue() {
  ::listen(acceptor_.native_handle(), 0);
  for (std::size_t i = 0; i < kFillers; ++i) {
    error_code ignored;
    tcp::socket filler(io_, tcp::v4());
    filler.non_blocking(true, ignored);
    const tcp::endpoint own(asio::ip::address_v4::loopback(), port_);
    ::connect(filler.native_handle(), own.data(), static_cast<socklen_t>(own.size()));  // Asio's would wait
    fillers_.push_back(std::move(filler));
  }
}

void Origin::drop_all(bool by_reset) {
  error_code ignored;
  acceptor_.close(ignored);
  for (const auto& session : std::set<std::shared_ptr<OriginSession>>(sessions_)) session->close(by_reset);
  sessions_.clear();
  queue_.clear();
}

void Origin::stop() {
  timer_.cancel();
  fillers_.clear();
  drop_all(false);
}

bool Origin::may_work(const std::shared_ptr<OriginSession>& session) {
  const Behaviour is = behaviour();
  if (!is.at_once || working_ < *is.at_once) {
    ++working_;
    return true;
  }
  queue_.push_back(session);
  return false;
}

void Origin::worked() {
  --working_;
  const Behaviour is = behaviour();
  while (!queue_.empty() && (!is.at_once || working_ < *is.at_once)) {
    const auto next = queue_.front().lock();
    queue_.pop_front();
    if (!next) continue;
    ++working_;
    next->work();
  }
}

}  // namespace understudy::drill
