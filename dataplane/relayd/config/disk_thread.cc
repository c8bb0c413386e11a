// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/config/disk_thread.h"

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "relay/daemon/log.h"

namespace sotto::dataplane {
namespace {

constexpr std::chrono::seconds kStopWait(1);

}  // namespace

// What the thread needs, which may outlive the object.
struct DiskThread::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  // Under `mutex`:
  std::deque<std::pair<Work, Then>> work;
  relay::ServerTasks* tasks;  // null once the object is gone
  bool ended = false;         // the thread
};

DiskThread::DiskThread(relay::ServerTasks& tasks) : shared_(std::make_shared<Shared>()) {
  shared_->tasks = &tasks;
  std::thread thread([shared = shared_] { Run(shared); });
  pthread_setname_np(thread.native_handle(), "sotto-disk");
  thread.detach();
}

DiskThread::~DiskThread() {
  std::unique_lock lock(shared_->mutex);
  shared_->tasks = nullptr;
  shared_->changed.notify_all();
  if (!shared_->changed.wait_for(lock, kStopWait, [this] { return shared_->ended; })) {
    Log(LogLevel::kError,
        "A change of users or secrets waits for the disk and may not be saved; check [turn.auth] "
        "file before the next start.");
  }
}

void DiskThread::Do(Work work, Then then) {
  const std::lock_guard lock(shared_->mutex);
  shared_->work.emplace_back(std::move(work), std::move(then));
  shared_->changed.notify_all();
}

void DiskThread::Run(const std::shared_ptr<Shared>& shared) {
  std::unique_lock lock(shared->mutex);
  for (;;) {
    shared->changed.wait(lock, [&] { return !shared->work.empty() || shared->tasks == nullptr; });
    // What waits at the end has no one to answer to.
    if (shared->tasks == nullptr) break;
    auto [work, then] = std::move(shared->work.front());
    shared->work.pop_front();
    lock.unlock();
    absl::Status status = work();
    lock.lock();
    if (shared->tasks == nullptr) break;
    shared->tasks->PostMore([then = std::move(then), status = std::move(status)](
                                relay::Server& server, const Now&) { then(server, status); });
  }
  shared->ended = true;
  shared->changed.notify_all();
}

}  // namespace sotto::dataplane
