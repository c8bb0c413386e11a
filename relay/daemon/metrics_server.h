// SPDX-License-Identifier: Apache-2.0
// What a daemon tells Prometheus: `GET /metrics` over HTTP, as text.
//
// It has a thread of its own, and whoever scrapes can cost the daemon little: connections, the size
// of a request and the time that one may take are bounded, and so is how often metrics are
// collected; in between, what was collected last is answered. There is neither TLS nor a password:
// metrics name nobody, and listen on an address that only those reach who may know them.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "relay/base/ip_address.h"
#include "relay/daemon/metrics_families.h"

namespace sotto {

struct MetricsServerOptions {
  TransportAddress listen;  // port 0: any
  // One that comes beyond these takes the place of the one that has been quiet for longest.
  size_t max_connections = 16;
  // For a request to arrive whole, or an answer to be taken.
  std::chrono::milliseconds patience = std::chrono::seconds(5);
  // For the next request on a connection.
  std::chrono::milliseconds keep_alive = std::chrono::seconds(75);
  // Metrics are collected this often at most.
  std::chrono::milliseconds freshness = std::chrono::milliseconds(100);
};

class MetricsServer {
 public:
  // On the server's thread; may take a moment, but must come back.
  using Collect = std::function<void(MetricFamilies& families)>;

  // Listens, and starts the thread, before privileges are given up; nobody is served yet.
  // UNAVAILABLE: the address can't be listened on.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Open(const MetricsServerOptions& options);
  // Ends all connections; waits for a collection under way.
  ~MetricsServer();

  // Once. What `collect` refers to must outlive the object.
  void Serve(Collect collect);

  uint16_t port() const;

 private:
  class Impl;
  explicit MetricsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sotto
