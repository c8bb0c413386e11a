// SPDX-License-Identifier: Apache-2.0
// The server's side of TLS: certificate, key and what is allowed.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace sotto::signaling {

// Connections hold on to the context that they were made with, so that another certificate applies
// to new ones.
class TlsContext {
 public:
  // PEM files: the certificate with its chain, and its private key. INVALID_ARGUMENT with a
  // sentence if either can't be read, or they don't belong together.
  static absl::StatusOr<std::shared_ptr<TlsContext>> Load(const std::string& cert_file,
                                                          const std::string& key_file);
  ~TlsContext() { SSL_CTX_free(context_); }
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  SSL_CTX* get() const { return context_; }

 private:
  explicit TlsContext(SSL_CTX* context) : context_(context) {}
  SSL_CTX* context_;
};

}  // namespace sotto::signaling
