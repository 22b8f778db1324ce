// What remains of an exchange: its counters and its line in the access log.
#include <cstdio>

#include "proxy/net/exchange_driver.hpp"

namespace understudy::net {

void Exchange::finish_record(observe::Term term) {
  if (logged_) return;
  logged_ = true;
  const ClientFacts& facts = requester_.facts();
  const observe::PlanCounters& counters = plan_->counters();
  const TimePoint now = worker_.reactor().now();
  observe::ListenerCounters& listener = *counters.listeners[facts.listener];
  listener.bytes_in.add(head_size_ + body_in_);
  listener.bytes_out.add(bytes_out_);
  const std::size_t none = plan_->plan().config.routes.size();
  observe::RouteCounters& route = counters.route(facts.listener, route_ != nullptr ? route_index_ : none);
  route.requests.add(observe::code_class_of(status_));
  route.duration.record(now - state_.started_at());
  if (worker_.access() == nullptr) return;
  if (observe::AccessRecord* record = worker_.access()->begin_write()) {
    fill_record(*record, term);
    worker_.access()->publish();
  }
}

void Exchange::fill_record(observe::AccessRecord& record, observe::Term term) {
  const ClientFacts& facts = requester_.facts();
  const http::RequestHead& request = head();
  const TimePoint now = worker_.reactor().now();
  const auto us = [](auto duration) {
    return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(duration).count());
  };
  record.unix_us = started_unix_us_;
  record.duration_us = us(now - state_.started_at());
  record.ttfb_us = state_.first_byte_time() ? us(*state_.first_byte_time()) : 0;
  record.connect_us = state_.connect_time() ? us(*state_.connect_time()) : 0;
  record.queue_us = us(state_.waited());
  record.bytes_in = head_size_ + body_in_;
  record.bytes_out = bytes_out_;
  record.status = status_;
  record.minor = minor_;
  record.attempts = static_cast<std::uint8_t>(state_.attempts());
  record.hedge = hedge_;
  record.term = term;
  record.tls = facts.tls;
  record.websocket = websocket_;
  record.route = route_index_;
  record.tier = last_tier_;
  record.epoch = last_epoch_;
  record.method.assign(request.method_text.in(base()));
  record.client_ip.assign(facts.client_ip);
  record.request_id.assign({request_id_.data(), request_id_size_});
  record.trace_id.assign({traceparent_.data() + 3, 32});
  record.listener.assign(plan_->plan().config.listeners[facts.listener].name);
  record.route_name.assign(route_ != nullptr ? std::string_view(route_->name) : std::string_view{});
  record.pool.assign(pool_ != nullptr ? std::string_view(pool_->name) : std::string_view{});
  record.endpoint.assign(last_endpoint_ != nullptr ? std::string_view(last_endpoint_->label) : std::string_view{});
  record.host.assign(request.authority.in(base()));
  const bool query = request.has_query && plan_->plan().config.log.query;
  if (query && request.target.length >= request.path.length) {
    const std::uint32_t length = request.path.length + 1 + request.query.length;
    record.path.assign({base() + request.path.offset, length});
  } else {
    record.path.assign(request.path.in(base()));
  }
  record.user_agent.assign(request.fields.value(http::Known::user_agent, base()));
  record.referer.assign(request.fields.value(http::Known::referer, base()));
}

}  // namespace understudy::net
