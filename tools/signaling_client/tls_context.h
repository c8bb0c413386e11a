// SPDX-License-Identifier: Apache-2.0
// What connection.cc and development_identity.cc share: TLS as clients of a signaling server want
// it.
#pragma once

#include <openssl/ssl.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <string>

#include "absl/status/status.h"
#include "tools/signaling_client/endpoint.h"

namespace sotto::tools {

absl::Status SetUpTls(boost::asio::ssl::context& context, const TlsOptions& options);

// A sentence about a failed connection, with a remedy.
absl::Status ConnectionFailure(const Endpoint& endpoint, std::string_view doing,
                               const boost::system::error_code& error);

// Names the server to a new TLS stream, so that it is checked.
template <typename Stream>
void ExpectServer(Stream& stream, const Endpoint& endpoint, const TlsOptions& options) {
  boost::system::error_code not_an_address;
  boost::asio::ip::make_address(endpoint.host, not_an_address);
  if (not_an_address) SSL_set_tlsext_host_name(stream.native_handle(), endpoint.host.c_str());
  if (!options.insecure) {
    stream.set_verify_callback(boost::asio::ssl::host_name_verification(endpoint.host));
  }
}

absl::StatusOr<boost::asio::ip::tcp::resolver::results_type> Resolve(boost::asio::io_context& io,
                                                                     const Endpoint& endpoint);

}  // namespace sotto::tools
