// SPDX-License-Identifier: Apache-2.0
// A sotto::ListStream that control fills from a table of the TURN server or of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/relayd/operator/control_requests.h"
#include "relay/daemon/list_stream.h"

namespace sotto::dataplane {

template <typename Message>
class ListStream {
 public:
  // On the control thread; as sotto::ListStream::Find.
  using Find =
      std::function<std::optional<uint32_t>(relay::Server& server, const Now& now, uint32_t first,
                                            uint32_t places, std::vector<Message>& out)>;
  using Stream = sotto::ListStream<Message>;

  // gRPC's threads. `open` counts the lists that are, of which there may be `most`; `requests` and
  // `open` must outlive the stream. `limit`: messages; 0: no bound.
  static Stream* Start(ControlRequests& requests, std::atomic<size_t>& open, size_t most,
                       uint32_t first, uint32_t limit, Find find) {
    return Stream::Start(OwnerOf(requests, open, most, std::move(find)), first, limit);
  }
  static Stream* Refuse(ControlRequests& requests, std::atomic<size_t>& open,
                        const absl::Status& status) {
    return Stream::Refuse(OwnerOf(requests, open, 0, nullptr), status);
  }

 private:
  static typename Stream::Owner OwnerOf(ControlRequests& requests, std::atomic<size_t>& open,
                                        size_t most, Find find) {
    auto run = [&requests, find = std::move(find)](
                   bool goes_on, std::function<void(const typename Stream::Find&)> work) {
      relay::ServerTasks::Task task = [find, work = std::move(work)](relay::Server& server,
                                                                     const Now& now) {
        work([&](uint64_t first, uint32_t places, std::vector<Message>& out) {
          return std::optional<uint64_t>(
              find(server, now, static_cast<uint32_t>(first), places, out));
        });
      };
      return goes_on ? requests.tasks().PostMore(std::move(task))
                     : requests.tasks().Post(std::move(task));
    };
    return {.run = std::move(run),
            .run_in_grpc = requests.run_in_grpc(),
            .unavailable = Unavailable(),
            .open = open,
            .most = most,
            .who = "relay"};
  }
};

}  // namespace sotto::dataplane
