// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/admin_listener.h"

#include <fmt/format.h>
#include <grp.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include "relay/daemon/config_file.h"
#include "relay/daemon/grpc_log.h"
#include "relay/daemon/log.h"
#include "relay/daemon/privileges.h"

namespace sotto {
namespace {

constexpr std::chrono::milliseconds kStopWait(1000);
// After accept() has failed for want of descriptors or memory.
constexpr int kAcceptPauseMs = 100;
// The largest request is a configuration to be checked.
constexpr int kMaxRequestBytes = kMaxConfigSize + 65536;
constexpr size_t kGrpcMemory = 64u << 20;
constexpr int kMaxReflectionThreads = 4;

absl::Status Of(std::string_view key, const absl::Status& status) {
  return {status.code(),
          fmt::format("{}: {}", key,
                      std::string_view(status.message().data(), status.message().size()))};
}

}  // namespace

// The thread that enters gRPC: accepts connections, and runs what it is given.
class AdminListener::Thread {
 public:
  Thread(std::optional<UnixListener> socket, std::optional<TransportAddress> listen,
         std::shared_ptr<grpc::ServerCredentials> tls)
      : socket_(std::move(socket)),
        listen_(listen),
        tls_(std::move(tls)),
        wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        thread_([this] { Run(); }) {
    pthread_setname_np(thread_.native_handle(), "sotto-admin");
  }
  ~Thread() {
    Post([this] { ended_ = true; });
    thread_.join();
    close(wake_fd_);
  }

  // Any thread.
  void Post(std::function<void()> work) {
    {
      std::lock_guard lock(mutex_);
      work_.push_back(std::move(work));
    }
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
  }
  // Any other thread; waits until the work, and all that was posted before it, is done.
  void Do(const std::function<void()>& work) {
    const auto done = std::make_shared<std::promise<void>>();
    Post([&work, done] {
      work();
      done->set_value();
    });
    done->get_future().wait();
  }

  // On the thread itself:
  absl::Status Start(std::span<grpc::Service* const> services);
  void Shutdown();
  bool SocketRemovable() const { return !socket_ || socket_->Removable(); }

 private:
  void Run();
  void Accept();

  std::optional<UnixListener> socket_;
  const std::optional<TransportAddress> listen_;
  const std::shared_ptr<grpc::ServerCredentials> tls_;  // for listen_
  const int wake_fd_;
  std::mutex mutex_;
  std::deque<std::function<void()>> work_;  // under mutex_
  // The thread's own:
  std::unique_ptr<grpc::Server> server_;
  std::chrono::steady_clock::time_point accept_again_ = {};
  bool accept_failed_ = false;
  bool ended_ = false;
  std::thread thread_;
};

absl::Status AdminListener::Thread::Start(std::span<grpc::Service* const> services) {
  grpc::ServerBuilder builder;
  for (grpc::Service* service : services) builder.RegisterService(service);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  grpc::ResourceQuota quota("sotto-admin");
  quota.Resize(kGrpcMemory);
  quota.SetMaxThreads(kMaxReflectionThreads);
  builder.SetResourceQuota(quota);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, 1);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1024);
  // Two daemons on one address would share its connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 5000);
  // A watcher whose host is gone is noticed; one that looks after its daemon is let.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  int port = 0;
  if (listen_) builder.AddListeningPort(listen_->ToString(), tls_, &port);
  server_ = builder.BuildAndStart();
  if (!server_ || (listen_ && port == 0)) {
    return absl::UnavailableError(
        listen_ ? fmt::format("[admin] listen: can't listen on {}; check that it is an address of "
                              "this host and that the port is free.",
                              listen_->ToString())
                : "[admin]: can't start the admin service.");
  }
  return absl::OkStatus();
}

void AdminListener::Thread::Shutdown() {
  if (!server_) return;
  server_->Shutdown(std::chrono::system_clock::now() + kStopWait);
  server_->Wait();
  server_.reset();
}

void AdminListener::Thread::Run() {
  std::deque<std::function<void()>> work;
  while (!ended_) {
    const bool accepts = server_ && socket_ && accept_again_ <= std::chrono::steady_clock::now();
    pollfd fds[] = {{wake_fd_, POLLIN, 0}, {accepts ? socket_->fd() : -1, POLLIN, 0}};
    poll(fds, 2, server_ && socket_ && !accepts ? kAcceptPauseMs : -1);
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = read(wake_fd_, &count, sizeof(count));
    {
      std::lock_guard lock(mutex_);
      work.swap(work_);
    }
    for (const auto& run : work) run();
    work.clear();
    if (fds[1].revents != 0 && server_) Accept();
  }
  Shutdown();
}

void AdminListener::Thread::Accept() {
  const int fd = accept4(socket_->fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) {
    accept_failed_ = false;
    grpc::AddInsecureChannelFromFd(server_.get(), fd);
    return;
  }
  if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
  accept_again_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(kAcceptPauseMs);
  if (std::exchange(accept_failed_, true)) return;
  Log(LogLevel::kError,
      "The admin socket can't accept a connection; if too many files are open, raise "
      "LimitNOFILE.",
      {{"error", std::string_view(strerrordesc_np(errno))}});
}

absl::StatusOr<UnixListenerOptions> AdminSocketOf(const std::string& path, const std::string& group,
                                                  const std::string& user) {
  const absl::StatusOr<RunAs> run_as = WillRunAs({.user = user});
  if (!run_as.ok()) return run_as.status();
  UnixListenerOptions socket = {.path = path, .owner = run_as->uid, .group = run_as->gid};
  if (!group.empty()) {
    const ::group* const found = getgrnam(group.c_str());
    if (found == nullptr) {
      return absl::NotFoundError(
          fmt::format("[admin] group: there is no group {}; create it with groupadd --system {}, "
                      "or name another.",
                      group, group));
    }
    socket.group = found->gr_gid;
  }
  return socket;
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // It travels in a header, of which gRPC takes 8 KiB, with bytes beyond ASCII three times as long.
  constexpr size_t kMost = 4096;
  std::string_view message(status.message().data(), status.message().size());
  if (message.size() <= kMost) {
    return {static_cast<grpc::StatusCode>(status.code()), std::string(message)};
  }
  const size_t line = message.rfind('\n', kMost);
  const std::string_view shown = message.substr(0, line == std::string_view::npos ? kMost : line);
  return {static_cast<grpc::StatusCode>(status.code()),
          fmt::format("{}\n... and {} more lines", shown,
                      1 + std::ranges::count(message.substr(shown.size() + 1), '\n'))};
}

absl::StatusOr<std::unique_ptr<AdminListener>> AdminListener::Open(
    const AdminListenerOptions& options) {
  RouteGrpcLog();
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  std::shared_ptr<ReloadableTls> tls;
  if (options.listen) {
    absl::StatusOr<TlsPem> read = ReadTlsFiles(options.tls);
    if (!read.ok()) return Of("[admin] listen", read.status());
    tls = std::make_shared<ReloadableTls>(*std::move(read));
  }
  std::optional<UnixListener> socket;
  if (options.socket) {
    absl::StatusOr<UnixListener> opened = UnixListener::Open(*options.socket);
    if (!opened.ok()) return Of("[admin] socket", opened.status());
    socket = *std::move(opened);
  }
  return std::unique_ptr<AdminListener>(
      new AdminListener(options, std::move(socket), std::move(tls)));
}

AdminListener::AdminListener(const AdminListenerOptions& options,
                             std::optional<UnixListener> socket, std::shared_ptr<ReloadableTls> tls)
    : tls_(std::move(tls)),
      thread_(std::make_unique<Thread>(std::move(socket), options.listen,
                                       tls_ ? MutualTlsCredentials(tls_) : nullptr)) {}

AdminListener::~AdminListener() = default;

absl::Status AdminListener::Serve(std::span<grpc::Service* const> services) {
  if (!thread_->SocketRemovable()) {
    Log(LogLevel::kWarning,
        "The admin socket can't be removed at exit; let the user that this daemon runs as write to "
        "its folder.");
  }
  absl::Status status;
  thread_->Do([&] { status = thread_->Start(services); });
  return status;
}

void AdminListener::Shutdown() {
  thread_->Do([this] { thread_->Shutdown(); });
}

void AdminListener::Post(std::function<void()> work) { thread_->Post(std::move(work)); }

void AdminListener::ReplaceTls(TlsPem tls) {
  if (tls_) tls_->Replace(std::move(tls));
}

}  // namespace sotto
