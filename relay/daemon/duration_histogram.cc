// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/duration_histogram.h"

#include <vector>

#include "relay/daemon/metrics_families.h"

namespace sotto {

void DurationHistogram::Collect(MetricFamilies& families, std::string_view name,
                                std::string_view help) const {
  std::vector<MetricFamilies::Bucket> buckets;
  for (size_t i = 0; i < kBuckets; ++i) {
    buckets.push_back({std::chrono::duration<double>(UpperBound(i)).count(),
                       counts_[i].load(std::memory_order_relaxed)});
  }
  families.Histogram(name, help, buckets,
                     static_cast<double>(sum_ns_.load(std::memory_order_relaxed)) / 1e9);
}

}  // namespace sotto
