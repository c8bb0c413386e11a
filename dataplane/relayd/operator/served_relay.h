// SPDX-License-Identifier: Apache-2.0
// For tests of the admin services: a relay without a dataplane, behind an AdminServer's Unix
// socket, with a thread in control's place. Time stands still in it.
#pragma once

#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "dataplane/relayd/operator/admin_server.h"
#include "relay/auth/credential.h"
#include "relay/daemon/test_folder.h"
#include "relay/turn/test_client.h"

namespace sotto::dataplane {

class ServedRelay {
 public:
  static constexpr std::string_view kSecret = "a-shared-secret";
  static constexpr Now kNow = {.monotonic_ms = 5'000'000, .unix_s = 1'800'000'000};

  static relay::ServerOptions Options() {
    relay::ServerOptions options;
    options.realm = "example.org";
    options.listen = {*TransportAddress::Parse("192.0.2.10:3478")};
    options.relay_addresses = {*IpAddress::Parse("192.0.2.10")};
    options.auth.shared_secrets = {std::string(kSecret)};
    // Nothing flows back.
    options.limits.unauthenticated_excess_burst = UINT32_MAX;
    options.limits.allocations_per_prefix = 0;
    return options;
  }

  // `tasks_at_once`: how many of control's tasks run before it looks around.
  explicit ServedRelay(std::string socket, const relay::ServerOptions& options = Options(),
                       size_t max_requests = AdminServerOptions().max_requests,
                       size_t tasks_at_once = 64)
      : server_(options, plane_), tasks_at_once_(tasks_at_once), socket_(std::move(socket)) {
    AdminServerOptions admin;
    admin.socket = {.path = socket_};
    admin.max_requests = max_requests;
    auto opened = AdminServer::Open(admin, tasks_);
    if (!opened.ok()) {
      ADD_FAILURE() << opened.status();
      std::abort();
    }
    admin_ = *std::move(opened);
  }
  ~ServedRelay() { Stop(); }

  // Before Serve().
  AdminServer& admin() { return *admin_; }
  relay::Server& server() { return server_; }

  // From here on the server is control's.
  void Serve() {
    std::promise<void> served;
    control_ = std::thread([this, &served] {
      EXPECT_TRUE(admin_->Serve(server_, kNow).ok());
      served.set_value();
      while (!stop_) {
        const size_t ran = paused_ ? 0 : tasks_.Run(server_, kNow, tasks_at_once_);
        tasks_run_ += ran;
        if (ran == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
      admin_->Stop(server_, kNow);
    });
    served.get_future().wait();
  }
  void Stop() {
    stop_ = true;
    if (control_.joinable()) control_.join();
    admin_.reset();
  }
  // Requests wait from now on.
  void Pause(bool paused) { paused_ = paused; }

  // On control's thread.
  template <typename Work>
  void Do(const Work& work) {
    std::promise<void> done;
    ASSERT_TRUE(tasks_.Post([&](relay::Server& server, const Now&) {
      work(server);
      done.set_value();
    }));
    done.get_future().wait();
  }
  // What control ran by now, but for Do() and this: counted on control, where a task that was heard
  // of is over.
  size_t TasksRun() {
    size_t ran = 0;
    Do([&](relay::Server&) { ran = tasks_run_ - counts_; });
    ++counts_;
    return ran;
  }

  // A client like no other, with a credential minted for `name`; on the thread that has the server.
  relay::TestClient Client(std::string_view name) {
    const auto port = static_cast<uint16_t>(1024 + clients_ % 60000);
    const IpAddress ip = IpAddress::V4(203, 0, static_cast<uint8_t>(clients_ / 60000), 5);
    ++clients_;
    return Client(name, {ip, port});
  }
  relay::TestClient Client(std::string_view name, const TransportAddress& address) {
    const std::string username = fmt::format("{}:{}", kNow.unix_s + 1000, name);
    return {server_,
            {address, *TransportAddress::Parse("192.0.2.10:3478")},
            username,
            relay::MintTimeLimitedPassword(kSecret, username)};
  }

  // A channel with a connection of its own.
  std::shared_ptr<grpc::Channel> Connect() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // A window that stays small, so that who doesn't read is noticed soon.
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    return grpc::CreateCustomChannel("unix:" + socket_, grpc::InsecureChannelCredentials(),
                                     arguments);
  }
  static std::unique_ptr<grpc::ClientContext> Context(
      std::chrono::seconds deadline = std::chrono::seconds(120)) {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + deadline);
    context->set_wait_for_ready(true);
    return context;
  }

 private:
  relay::NullForwardingPlane plane_;
  relay::Server server_;
  relay::ServerTasks tasks_{4096, [] {}};
  const size_t tasks_at_once_;
  const std::string socket_;
  std::unique_ptr<AdminServer> admin_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> paused_ = false;
  std::atomic<size_t> tasks_run_ = 0;
  size_t counts_ = 0;  // of tasks_run_, those that counted
  uint32_t clients_ = 0;
  std::thread control_;
};

}  // namespace sotto::dataplane
