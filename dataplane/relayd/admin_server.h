// Where the admin services are reached: a Unix socket that file permissions guard, TCP with mutual
// TLS, or both. gRPC lives on a thread of its own here and on those that it starts from there; the
// control thread never enters it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/relayd/control_requests.h"
#include "relay/api/reloadable_tls.h"
#include "relay/api/tls_files.h"
#include "relay/daemon/unix_listener.h"
#include "relay/wire/ip_address.h"

namespace sotto::dataplane {

struct AdminServerOptions {
  std::optional<UnixListenerOptions> socket;
  std::optional<relay::TransportAddress> listen;
  TlsFiles tls;                // for `listen`
  size_t max_requests = 4096;  // that wait for control, of all services
};

class AdminServer {
 public:
  // Opens the socket, reads the files and starts the thread, all before privileges are given up, so
  // that it may do the former, and that the latter has none. Nobody is served yet. `tasks` must
  // outlive the object.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Open(const AdminServerOptions& options,
                                                           ControlTasks& tasks);
  // Ends the service and removes the socket. Stop() first, if Serve() was called.
  ~AdminServer();

  // Before Serve(): what services are made with, and one to serve.
  ControlRequests& requests() { return requests_; }
  void Add(std::unique_ptr<ControlService> service) { services_.push_back(std::move(service)); }

  // The control thread; once. UNAVAILABLE: the address can't be listened on.
  absl::Status Serve(relay::Server& server, const relay::Now& now);

  // The control thread: answers what is asked, closes `tasks`, ends all watches and connections.
  // Takes a second at most.
  void Stop(relay::Server& server, const relay::Now& now);

  // Any thread: connections that come from now on are made with these. Those that are stay.
  void ReplaceTls(TlsPem tls);

 private:
  class Thread;
  AdminServer(const AdminServerOptions& options, ControlTasks& tasks,
              std::optional<UnixListener> socket, std::shared_ptr<ReloadableTls> tls);

  ControlTasks& tasks_;
  ControlRequests requests_;
  std::vector<std::unique_ptr<ControlService>> services_;
  const std::shared_ptr<ReloadableTls> tls_;  // null without `listen`
  std::unique_ptr<Thread> thread_;
};

}  // namespace sotto::dataplane
