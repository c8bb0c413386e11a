// SPDX-License-Identifier: Apache-2.0
// Builds what a scrape answers: families of metrics, in the order in which they are first named.
//
// Names and units are Prometheus' conventions: base units (seconds, bytes), `_total` for counters.
// A label's values must be few and known beforehand: never a user, a call or an address.
#pragma once

#include <prometheus/metric_family.h>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sotto {

class MetricFamilies {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;
  // Not cumulative; with the last bucket, whose upper bound isn't looked at, everything is counted.
  struct Bucket {
    double upper = 0;
    uint64_t count = 0;
  };

  // One sample. `help` is a sentence; that of a family's first sample is its own.
  void Counter(std::string_view name, std::string_view help, double value, Labels labels = {});
  void Gauge(std::string_view name, std::string_view help, double value, Labels labels = {});
  void Histogram(std::string_view name, std::string_view help, std::span<const Bucket> buckets,
                 double sum, Labels labels = {});

  std::vector<prometheus::MetricFamily> Take() && { return std::move(families_); }

 private:
  prometheus::ClientMetric& Add(std::string_view name, std::string_view help,
                                prometheus::MetricType type, Labels labels);

  std::vector<prometheus::MetricFamily> families_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

// What Prometheus expects of any process, by its usual names: CPU time, memory, start. Reads
// /proc; what can't be read is left out.
void AddProcessMetrics(MetricFamilies& families);

}  // namespace sotto
