// SPDX-License-Identifier: Apache-2.0
// Where clients connect: listening sockets, bounds on connections, and what new connections are
// served with. All on the thread that runs the io_context.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "relay/base/ip_address.h"
#include "signaling/identity/development_issuer.h"
#include "signaling/service/service.h"
#include "signaling/signald/front/tls_context.h"
#include "signaling/signald/front/web_root.h"

namespace sotto::signaling {

struct ListenerOptions {
  std::vector<TransportAddress> listen;
  uint32_t max_connections = 20'000;
  uint32_t max_connections_per_prefix = 256;
};

class Listener {
 public:
  // Binds and listens; nothing is accepted before Start(). ALREADY_EXISTS, PERMISSION_DENIED or
  // another status with a sentence if that can't be. `io` must outlive the object.
  static absl::StatusOr<std::unique_ptr<Listener>> Create(boost::asio::io_context& io,
                                                          const ListenerOptions& options);
  ~Listener();

  struct Content {
    std::shared_ptr<TlsContext> tls;                 // none: plain HTTP
    std::shared_ptr<const WebRoot> web_root;         // none: no files
    const DevelopmentIssuer* development = nullptr;  // none: no identities
    std::vector<std::string> origins;
  };
  // `after_service` is called after each call of `service`; `unix_s` is the clock. All of these
  // must outlive the io_context's handlers.
  void Start(Service& service, std::function<void()> after_service, std::function<int64_t()> unix_s,
             Content content);
  // For connections to come.
  void SetContent(Content content);
  void SetLimits(uint32_t max_connections, uint32_t max_connections_per_prefix);
  // Accepts no more.
  void Stop();

  uint32_t connections() const;
  struct Counters {
    uint64_t accepted = 0;
    uint64_t refused = 0;  // beyond the bounds
  };
  Counters counters() const;
  // What was bound: ports too, where 0 was asked for.
  std::vector<TransportAddress> addresses() const;

 private:
  class Impl;
  explicit Listener(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sotto::signaling
