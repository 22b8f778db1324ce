#include "tests/bench/load/job.hpp"

#include <stdexcept>

namespace bench {

namespace {

void set(Job& job, const std::string& key, const std::string& value) {
  const auto yes = [&] { return value == "1"; };
  if (key == "kind") {
    job.kind = value;
  } else if (key == "port") {
    job.port = static_cast<std::uint16_t>(std::stoul(value));
  } else if (key == "path") {
    job.path = value;
  } else if (key == "post") {
    job.post = std::stoul(value);
  } else if (key == "expect") {
    job.expect = std::stoul(value);
  } else if (key == "connections") {
    job.connections = std::stoul(value);
  } else if (key == "count") {
    job.count = std::stoul(value);
  } else if (key == "warm") {
    job.warm = std::stod(value);
  } else if (key == "seconds") {
    job.seconds = std::stod(value);
  } else if (key == "rate") {
    job.rate = std::stod(value);
  } else if (key == "tls") {
    job.tls = yes();
  } else if (key == "resume") {
    job.resume = yes();
  } else if (key == "close") {
    job.close = yes();
  } else if (key == "verify") {
    job.verify = yes();
  } else if (key == "watch") {
    for (std::size_t at = 0; at < value.size(); at = value.find(',', at) + 1) {
      job.watch.push_back(std::stoi(value.substr(at)));
      if (value.find(',', at) == std::string::npos) break;
    }
  } else {
    throw std::invalid_argument("unknown word '" + key + "'");
  }
}

}  // namespace

Job Job::parse(const std::vector<std::string>& words) {
  Job job;
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) throw std::invalid_argument("'" + word + "' is not key=value");
    set(job, word.substr(0, equals), word.substr(equals + 1));
  }
  return job;
}

}  // namespace bench
