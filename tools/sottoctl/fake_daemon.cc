// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/fake_daemon.h"

#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <mutex>

namespace sotto::tools {
namespace {

using Next = std::function<std::string(size_t)>;

struct Behavior {
  Next next = {};
  grpc::Status status = {};
  bool hangs = false;
};

}  // namespace

class FakeDaemon::Service final : public grpc::CallbackGenericService {
 public:
  explicit Service(const std::string& target) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(target, grpc::InsecureServerCredentials());
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
    if (!server_) std::abort();
  }
  ~Service() override { server_->Shutdown(std::chrono::system_clock::now()); }

  void Set(const std::string& method, Behavior behavior) {
    // A test of a method that there isn't would prove nothing.
    if (!google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(method)) std::abort();
    std::lock_guard lock(mutex_);
    behaviors_[method] = std::move(behavior);
  }
  std::string LastBytes(const std::string& method) {
    std::lock_guard lock(mutex_);
    const auto found = requests_.find(method);
    if (found == requests_.end()) std::abort();
    return found->second.back();
  }
  size_t calls(const std::string& method) {
    std::lock_guard lock(mutex_);
    return requests_[method].size();
  }

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    std::string method = context->method().substr(1);
    std::ranges::replace(method, '/', '.');
    return new Reactor(*this, method);
  }

 private:
  class Reactor final : public grpc::ServerGenericBidiReactor {
   public:
    Reactor(Service& service, const std::string& method) : service_(service), method_(method) {
      StartRead(&request_);
    }
    void OnReadDone(bool ok) override {
      if (!ok) return End(grpc::Status(grpc::StatusCode::CANCELLED, "no request"));
      grpc::Slice slice;
      request_.DumpToSingleSlice(&slice);
      {
        std::lock_guard lock(service_.mutex_);
        service_.requests_[method_].emplace_back(reinterpret_cast<const char*>(slice.begin()),
                                                 slice.size());
        const auto found = service_.behaviors_.find(method_);
        if (found == service_.behaviors_.end()) {
          behavior_.status = grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "");
        } else {
          behavior_ = found->second;
        }
      }
      if (!behavior_.hangs) WriteNext();
    }
    void OnWriteDone(bool ok) override {
      if (ok) {
        WriteNext();
      } else {
        End(grpc::Status::CANCELLED);
      }
    }
    void OnCancel() override { End(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }

   private:
    void WriteNext() {
      const std::string message = behavior_.next ? behavior_.next(number_++) : kEnd;
      if (message == kEnd) return End(behavior_.status);
      const grpc::Slice slice(message);
      response_ = grpc::ByteBuffer(&slice, 1);
      StartWrite(&response_);
    }
    void End(const grpc::Status& status) {
      if (!ended_.exchange(true)) Finish(status);
    }

    Service& service_;
    const std::string method_;
    Behavior behavior_;
    size_t number_ = 0;
    std::atomic<bool> ended_ = false;
    grpc::ByteBuffer request_;
    grpc::ByteBuffer response_;
  };

 public:
  // No message begins with a zero byte; an empty one has none.
  static const std::string kEnd;

 private:
  std::mutex mutex_;
  std::map<std::string, Behavior> behaviors_;                 // under mutex_
  std::map<std::string, std::vector<std::string>> requests_;  // under mutex_
  std::unique_ptr<grpc::Server> server_;
};

const std::string FakeDaemon::Service::kEnd(1, '\0');

FakeDaemon::FakeDaemon() {
  std::string folder = (std::filesystem::temp_directory_path() / "sottoctl-test-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) std::abort();
  folder_ = folder;
  target_ = "unix:" + folder_ + "/daemon.sock";
  service_ = std::make_unique<Service>(target_);
}

FakeDaemon::~FakeDaemon() {
  service_.reset();
  std::filesystem::remove_all(folder_);
}

void FakeDaemon::Stream(const std::string& method, std::vector<std::string> messages) {
  service_->Set(method, {.next = [messages = std::move(messages)](size_t i) {
                  return i < messages.size() ? messages[i] : Service::kEnd;
                }});
}

void FakeDaemon::Generate(const std::string& method, std::function<std::string(size_t)> next) {
  service_->Set(method, {.next = [next = std::move(next)](size_t i) {
                  std::string message = next(i);
                  return message.empty() ? Service::kEnd : message;
                }});
}

void FakeDaemon::Refuse(const std::string& method, absl::StatusCode code,
                        const std::string& words) {
  service_->Set(method, {.status = grpc::Status(static_cast<grpc::StatusCode>(code), words)});
}

void FakeDaemon::Hang(const std::string& method) { service_->Set(method, {.hangs = true}); }

std::string FakeDaemon::LastBytes(const std::string& method) const {
  return service_->LastBytes(method);
}

size_t FakeDaemon::calls(const std::string& method) const { return service_->calls(method); }

}  // namespace sotto::tools
