// SPDX-License-Identifier: Apache-2.0
// A connection to the admin services of a daemon, by the names of their methods.
#pragma once

#include <google/protobuf/message.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sotto::tools {

struct DaemonTarget {
  std::string address;  // "unix:/path" or "host:port"
  std::string daemon;   // "sotto-relayd": for messages
  std::string ca_file;  // PEM; all three with host:port, none with a Unix socket
  std::string cert_file;
  std::string key_file;
  std::chrono::milliseconds timeout{10'000};  // for an answer; of a stream, for its next message
};

// Blocks its thread while it waits. Every call is an exchange of its own; what one has learnt isn't
// kept for the next.
//
// Statuses have the code and the words that the daemon gave, but for:
//   UNAVAILABLE    it can't be reached, or gave no answer in time
//   ABORTED        it answered that it can't for now
//   UNIMPLEMENTED  it knows no such method: another daemon, or an older one
//   CANCELLED      `stop` was set
class DaemonClient {
 public:
  // Connects to nothing yet. INVALID_ARGUMENT: the target isn't one. `stop` ends what waits, within
  // a tenth of a second; it must outlive the object.
  static absl::StatusOr<DaemonClient> Make(const DaemonTarget& target,
                                           const std::atomic<bool>& stop);
  DaemonClient(DaemonClient&&) noexcept;
  ~DaemonClient();

  // `method` is a service and a method of the request's package: "Admin.GetStatus".
  template <typename Response>
  absl::StatusOr<Response> Call(std::string_view method,
                                const google::protobuf::Message& request) const {
    Response response;
    const absl::Status status = Stream(method, request, response, [] { return true; });
    if (!status.ok()) return status;
    return response;
  }

  // `each` is called when `response` has been filled with the next message; false ends the stream,
  // which is no error. `quiet` is added to the timeout.
  absl::Status Stream(std::string_view method, const google::protobuf::Message& request,
                      google::protobuf::Message& response, const std::function<bool()>& each,
                      std::chrono::milliseconds quiet = {}) const;

  const DaemonTarget& target() const;

 private:
  struct State;
  explicit DaemonClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sotto::tools
