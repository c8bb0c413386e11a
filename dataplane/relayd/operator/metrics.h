// SPDX-License-Identifier: Apache-2.0
// What sotto-relayd tells Prometheus. The names are the contract of deploy/prometheus.
#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "dataplane/observe/relay_view.h"
#include "dataplane/relayd/config/running_config.h"
#include "relay/daemon/metrics_families.h"
#include "relay/turn/server_tasks.h"

namespace sotto::dataplane {

class RelayMetrics {
 public:
  // `relay` and `config` must outlive the object and `tasks`, and `tasks` the object. Control is
  // given `patience` to tell what it knows; beyond, a scrape is answered without that.
  RelayMetrics(std::string version, const RelayView& relay, const RunningConfig& config,
               relay::ServerTasks& tasks,
               std::chrono::milliseconds patience = std::chrono::milliseconds(500))
      : version_(std::move(version)),
        relay_(relay),
        config_(config),
        tasks_(tasks),
        patience_(patience) {}

  // Any thread but control's.
  void Collect(MetricFamilies& families) const;

 private:
  void CollectWorkers(MetricFamilies& families) const;
  void CollectPackets(MetricFamilies& families) const;
  void CollectPorts(MetricFamilies& families) const;

  const std::string version_;
  const RelayView& relay_;
  const RunningConfig& config_;
  relay::ServerTasks& tasks_;
  const std::chrono::milliseconds patience_;
};

}  // namespace sotto::dataplane
