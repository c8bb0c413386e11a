// SPDX-License-Identifier: Apache-2.0
// Where a daemon's admin services are reached: a Unix socket that file permissions guard, TCP with
// mutual TLS, or both, and reflection with them. gRPC lives on a thread of its own here and on
// those that it starts from there; the threads that own a daemon's state never enter it: it takes
// locks, writes to sockets, and starts threads.
#pragma once

#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "relay/base/ip_address.h"
#include "relay/daemon/reloadable_tls.h"
#include "relay/daemon/tls_files.h"
#include "relay/daemon/unix_listener.h"

namespace sotto {

struct AdminListenerOptions {
  std::optional<UnixListenerOptions> socket;
  std::optional<TransportAddress> listen;
  TlsFiles tls;  // for `listen`
};

// The socket at `path` as [admin] has it: it belongs to whom the process will run as (`user` as in
// PrivilegeOptions), and to the group named, or else to that user's own. NOT_FOUND: there is no
// such user or group. FAILED_PRECONDITION: only root could become that user.
absl::StatusOr<UnixListenerOptions> AdminSocketOf(const std::string& path, const std::string& group,
                                                  const std::string& user);

// Runs a function on a thread that may enter gRPC.
using RunInGrpc = std::function<void(std::function<void()>)>;

grpc::Status ToGrpc(const absl::Status& status);

class AdminListener {
 public:
  // Opens the socket, reads the files and starts the thread, all before privileges are given up, so
  // that it may do the former, and that the latter has none. Nobody is served yet.
  static absl::StatusOr<std::unique_ptr<AdminListener>> Open(const AdminListenerOptions& options);
  // Ends the service and removes the socket.
  ~AdminListener();

  // Once; the services must outlive the object. UNAVAILABLE: the address can't be listened on.
  absl::Status Serve(std::span<grpc::Service* const> services);

  // Ends all requests and connections; takes a second at most. Not from Post().
  void Shutdown();

  // Any thread: runs `work` on the thread that may enter gRPC, after what was posted before.
  void Post(std::function<void()> work);

  // Any thread: connections that come from now on are made with these. Those that are stay.
  void ReplaceTls(TlsPem tls);

 private:
  class Thread;
  AdminListener(const AdminListenerOptions& options, std::optional<UnixListener> socket,
                std::shared_ptr<ReloadableTls> tls);

  const std::shared_ptr<ReloadableTls> tls_;  // null without `listen`
  std::unique_ptr<Thread> thread_;
};

}  // namespace sotto
