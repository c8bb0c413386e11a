// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/front/tls_context.h"

#include <fmt/format.h>
#include <openssl/err.h>

namespace sotto::signaling {
namespace {

std::string OpenSslError() {
  const unsigned long error = ERR_peek_last_error();
  const char* const reason = ERR_reason_error_string(error);
  ERR_clear_error();
  return reason == nullptr ? "unknown reason" : reason;
}

// RFC 7301: a client that offers protocols gets HTTP/1.1, the only one that WebSocket is spoken
// over here, or no connection.
int SelectAlpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
               unsigned int in_size, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  return SSL_select_next_proto(const_cast<unsigned char**>(out), out_size, kHttp11,
                               sizeof(kHttp11) - 1, in, in_size) == OPENSSL_NPN_NEGOTIATED
             ? SSL_TLSEXT_ERR_OK
             : SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

absl::StatusOr<std::shared_ptr<TlsContext>> TlsContext::Load(const std::string& cert_file,
                                                             const std::string& key_file) {
  ERR_clear_error();
  SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
  if (context == nullptr) {
    return absl::InternalError(
        fmt::format("OpenSSL failed to create a TLS context: {}.", OpenSslError()));
  }
  const std::shared_ptr<TlsContext> result(new TlsContext(context));
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
  // Idle connections give their record buffers back: two times 16 KiB each.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // Neither tickets nor a cache of TLS sessions: connections last for hours, so that handshakes are
  // few, and a ticket's key would undo the forward secrecy of all that were made under it.
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_alpn_select_cb(context, SelectAlpn, nullptr);
  if (SSL_CTX_use_certificate_chain_file(context, cert_file.c_str()) != 1) {
    return absl::InvalidArgumentError(
        fmt::format("[server] tls_cert: {} can't be read as a certificate chain in PEM: {}.",
                    cert_file, OpenSslError()));
  }
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return absl::InvalidArgumentError(
        fmt::format("[server] tls_key: {} can't be read as the private key of {}: {}.", key_file,
                    cert_file, OpenSslError()));
  }
  return result;
}

}  // namespace sotto::signaling
