// SPDX-License-Identifier: Apache-2.0
// What sotto-signald tells Prometheus. The names are the contract of deploy/prometheus.
//
// Nothing here has a label for an account, a device, a session, a call or an address. The counts
// are of all calls together; on a server that is otherwise idle, who sees them before and after a
// call sees what became of that one (docs/privacy.md).
#pragma once

#include <chrono>

#include "relay/daemon/metrics_families.h"
#include "relay/daemon/owner_requests.h"
#include "signaling/signald/operator/live_server.h"

namespace sotto::signaling {

class ServerMetrics {
 public:
  // Both must outlive the object. The service's thread is given `patience` to tell what it knows;
  // beyond, a scrape is answered without that.
  ServerMetrics(const LiveServer& server, OwnerRequests<>& requests,
                std::chrono::milliseconds patience = std::chrono::milliseconds(500))
      : server_(server), requests_(requests), patience_(patience) {}

  // Any thread but the service's.
  void Collect(MetricFamilies& families) const;

 private:
  void CollectStore(MetricFamilies& families) const;
  void CollectRelays(MetricFamilies& families) const;

  const LiveServer& server_;
  OwnerRequests<>& requests_;
  const std::chrono::milliseconds patience_;
};

}  // namespace sotto::signaling
