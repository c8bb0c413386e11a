// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/reloadable_tls.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <string>

namespace sotto {
namespace {

// gRPC's C++ interface of 1.51 has certificates that are fixed or that it watches as files by
// itself, one by one; its C interface asks at each handshake, which lets a reload be all or
// nothing. This is the C++ face of that.
class Credentials final : public grpc::ServerCredentials {
 public:
  explicit Credentials(std::shared_ptr<ReloadableTls> tls) : tls_(std::move(tls)) {
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, Fetch, this));
  }
  ~Credentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  // gRPC calls it under a lock of its own, first when the port is opened.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    auto* const credentials = static_cast<Credentials*>(self);
    const std::unique_ptr<TlsPem> pem = credentials->tls_->IfNewer(credentials->seen_);
    if (pem == nullptr) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const grpc_ssl_pem_key_cert_pair pair = {pem->key.c_str(), pem->cert.c_str()};
    *config = grpc_ssl_server_certificate_config_create(pem->ca.c_str(), &pair, 1);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const std::shared_ptr<ReloadableTls> tls_;
  uint64_t seen_ = 0;
  grpc_server_credentials* credentials_;
};

}  // namespace

void ReloadableTls::Replace(TlsPem pem) {
  std::lock_guard lock(mutex_);
  pem_ = std::move(pem);
  ++number_;
}

std::unique_ptr<TlsPem> ReloadableTls::IfNewer(uint64_t& seen) const {
  std::lock_guard lock(mutex_);
  if (seen == number_) return nullptr;
  seen = number_;
  return std::make_unique<TlsPem>(pem_);
}

std::shared_ptr<grpc::ServerCredentials> MutualTlsCredentials(std::shared_ptr<ReloadableTls> tls) {
  return std::make_shared<Credentials>(std::move(tls));
}

}  // namespace sotto
