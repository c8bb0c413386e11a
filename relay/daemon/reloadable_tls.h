// SPDX-License-Identifier: Apache-2.0
// Mutual TLS for a gRPC server whose certificates may change while it serves.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <mutex>
#include <utility>

#include "relay/daemon/tls_files.h"

namespace sotto {

// What is in force. Any thread.
class ReloadableTls {
 public:
  explicit ReloadableTls(TlsPem pem) : pem_(std::move(pem)) {}

  // Each handshake from now on sees all of it; connections that are made stay as they are.
  void Replace(TlsPem pem);
  // What is in force, if it differs from what `seen` was the number of; `seen` then numbers it.
  // Numbers begin at 1.
  std::unique_ptr<TlsPem> IfNewer(uint64_t& seen) const;

 private:
  mutable std::mutex mutex_;
  TlsPem pem_;           // under mutex_
  uint64_t number_ = 1;  // under mutex_
};

// For a ServerBuilder: clients must show a certificate that the CA vouches for.
std::shared_ptr<grpc::ServerCredentials> MutualTlsCredentials(std::shared_ptr<ReloadableTls> tls);

}  // namespace sotto
