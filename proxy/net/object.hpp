// Reference counting inside one worker: plain integers, no atomics. Owners of sockets are never moved or copied.
#pragma once

#include <cstdint>
#include <utility>

namespace understudy::net {

class Object {
public:
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  void retain() { ++refs_; }
  void release() {
    if (--refs_ == 0) delete this;
  }

protected:
  virtual ~Object() = default;

private:
  std::uint32_t refs_ = 0;
};

template <typename T>
class Ref {
public:
  Ref() = default;
  explicit Ref(T* object) : object_(object) {
    if (object_) object_->retain();
  }
  Ref(const Ref& o) : Ref(o.object_) {}
  Ref(Ref&& o) noexcept : object_(std::exchange(o.object_, nullptr)) {}
  Ref& operator=(Ref o) noexcept {
    std::swap(object_, o.object_);
    return *this;
  }
  ~Ref() {
    if (object_)
      object_->release();  // NOLINT(clang-analyzer-cplusplus.NewDelete): clang 14 loses count of two references
  }
  void reset() { Ref().swap(*this); }
  void swap(Ref& o) noexcept { std::swap(object_, o.object_); }
  T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }

private:
  T* object_ = nullptr;
};

template <typename T, typename... Args>
Ref<T> make_ref(Args&&... args) {
  return Ref<T>(new T(std::forward<Args>(args)...));
}

// Intrusive doubly linked list hook; unlinks itself when destroyed. One hook per list an object can be in.
struct ListHook {
  ListHook* prev = nullptr;
  ListHook* next = nullptr;
  ListHook() = default;
  ListHook(const ListHook&) = delete;
  ListHook& operator=(const ListHook&) = delete;
  ~ListHook() { unlink(); }
  bool linked() const { return next != nullptr; }
  void unlink() {
    if (!next) return;
    prev->next = next;
    next->prev = prev;
    prev = next = nullptr;
  }
};

// List of T that derive from Hook (itself derived from ListHook). Does not own.
template <typename T, typename Hook>
class List {
public:
  List() { head_.prev = head_.next = &head_; }
  ~List() { head_.prev = head_.next = nullptr; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  bool empty() const { return head_.next == &head_; }
  // From wherever it stands, this list included.
  void push_back(T& item) {
    hook(item).unlink();  // first: it may be the neighbour
    insert(*head_.prev, head_, hook(item));
  }
  void push_front(T& item) {
    hook(item).unlink();
    insert(head_, *head_.next, hook(item));
  }
  T* front() const { return empty() ? nullptr : owner(head_.next); }
  T* back() const { return empty() ? nullptr : owner(head_.prev); }
  // Calls f for each; f may unlink the item it is given, nothing else.
  template <typename F>
  void for_each(F f) {
    for (ListHook* h = head_.next; h != &head_;) {
      ListHook* following = h->next;
      f(*owner(h));
      h = following;
    }
  }

private:
  static ListHook& hook(T& item) { return static_cast<Hook&>(item); }
  static T* owner(ListHook* h) { return static_cast<T*>(static_cast<Hook*>(h)); }
  static void insert(ListHook& before, ListHook& after, ListHook& item) {
    item.prev = &before;
    item.next = &after;
    before.next = &item;
    after.prev = &item;
  }
  ListHook head_;
};

}  // namespace understudy::net
