// When what survives a restart is written: state_keeper.hpp; here is what it is and whose.
#include "proxy/server/process.hpp"

namespace understudy::server {

// What the process before this one has passed is newer than what it has written, and waits for no disk.
void Process::restore_state(TimePoint now) {
  const auto wall = std::chrono::system_clock::now();
  std::string damage;
  if (const auto passed = inheritance_.take_state()) {
    if (const auto saved = from_json(*passed, damage, wall)) return core_.restore(*saved, now);
    log(observe::Level::warn,
        "binary upgrade: the state that was handed over is not usable (" + damage + "); the stored one is taken");
    damage.clear();
  }
  if (!state_dir_.kept()) return;
  if (const auto saved = state_dir_.read(damage, wall)) core_.restore(*saved, now);
  // Who served, and what operators ordered, is forgotten; that is nothing to find out by chance.
  if (!damage.empty()) log(observe::Level::error, damage);
}

void Process::begin_keeping_state() {
  StateKeeper::Hooks hooks;
  // While taking over, the process before this one decides still; and what that writes then may reach the disk after what the new
  // one writes, so it does not either.
  hooks.ours = [this] { return state_dir_.kept() && !taking_over_ && !successor_; };
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
