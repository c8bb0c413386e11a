// SPDX-License-Identifier: Apache-2.0
// A Client on a WebSocket over TLS (Boost.Beast): connects, reconnects with ever longer pauses, and
// resumes. Many connections can share a Connector and its io_context; all on the io_context's one
// thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/signaling_client/client.h"
#include "tools/signaling_client/endpoint.h"

namespace sotto::tools {

// CLOCK_MONOTONIC in milliseconds: what connections pass to their clients.
uint64_t SteadyMs();

// What connections to one server have in common: its addresses, and whom to trust.
class Connector {
 public:
  // INVALID_ARGUMENT: a CA file that can't be read. UNAVAILABLE: a host without an address.
  static absl::StatusOr<std::unique_ptr<Connector>> Create(boost::asio::io_context& io,
                                                           const Endpoint& endpoint,
                                                           const TlsOptions& tls);
  ~Connector();

 private:
  friend class Connection;
  struct Impl;
  explicit Connector(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct ConnectionOptions {
  // After the first Welcome, a lost connection is made again for so long; 0: not at all. The first
  // one must work at once.
  uint32_t reconnect_for_s = 120;
};

class Connection {
 public:
  class Listener : public Client::Listener {
   public:
    // The connection is lost and is being made again.
    virtual void OnLost(const absl::Status& why) = 0;
    // The last that is heard of it. OK after Stop(); else one sentence with a remedy.
    virtual void OnEnd(const absl::Status& why) = 0;
    // Each frame that crosses, as it is on the wire.
    virtual void OnFrame(bool /*incoming*/, std::string_view /*bytes*/) {}
  };

  // All must outlive the object. Frames and callbacks come from within the io_context's run().
  Connection(Connector& connector, ClientOptions client, Listener& listener,
             ConnectionOptions options = {});
  // No callback comes afterwards; the connection is cut.
  ~Connection();

  void Start();
  // Goodbye, and the end.
  void Stop();
  // Cuts the connection as a failing network does, for tests.
  void Drop();

  Client& client();
  void Request(api::ClientFrame frame, Client::Answer answer);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

// Identities of a server that issues them for development (POST /v1/development/identity), in the
// order of `accounts`. Blocks.
absl::StatusOr<std::vector<std::string>> FetchDevelopmentIdentities(
    const Endpoint& endpoint, const TlsOptions& tls, const std::vector<std::string>& accounts);

}  // namespace sotto::tools
