// When what survives a restart is written: state_keeper.hpp; here is what it is and whose.
#include "proxy/server/process.hpp"

namespace understudy::server {

void Process::begin_keeping_state() {
  StateKeeper::Hooks hooks;
  // While taking over, the process before this one decides still.
  hooks.ours = [this] { return state_dir_.kept() && !taking_over_; };
  hooks.text = [this] {
    return to_json(core_.save(std::chrono::steady_clock::now()), std::chrono::system_clock::now());
  };
  hooks.later = [this](std::string key, std::function<void()> work) {
    return files_->write_later(std::move(key), std::move(work));
  };
  hooks.log = [this](const std::string& text) { log(observe::Level::info, text); };
  keeper_ = std::make_unique<StateKeeper>(io_, state_dir_.file(), std::move(hooks));
}

void Process::save_state_soon() {
  if (keeper_) keeper_->soon();
}

void Process::when_kept(std::function<void(bool kept)> done) { keeper_->at_once(std::move(done)); }

// `written` is called on the file thread, also when it failed.
bool Process::write_state(const std::string& key, std::function<void()> written) {
  return keeper_->write(key, std::move(written));
}

}  // namespace understudy::server
