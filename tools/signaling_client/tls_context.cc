// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/tls_context.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace sotto::tools {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;

absl::Status SetUpTls(ssl::context& context, const TlsOptions& options) {
  context.set_options(ssl::context::default_workarounds);
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  if (options.insecure) {
    context.set_verify_mode(ssl::verify_none);
    return absl::OkStatus();
  }
  context.set_verify_mode(ssl::verify_peer);
  boost::system::error_code error;
  if (options.ca_file.empty()) {
    context.set_default_verify_paths(error);
  } else {
    context.load_verify_file(options.ca_file, error);
  }
  if (error) {
    return absl::InvalidArgumentError(
        fmt::format("can't read certificates from {} ({}); must be a PEM file",
                    options.ca_file.empty() ? "this machine's certificate store" : options.ca_file,
                    error.message()));
  }
  return absl::OkStatus();
}

absl::Status ConnectionFailure(const Endpoint& endpoint, std::string_view doing,
                               const boost::system::error_code& error) {
  const bool untrusted =
      error.category() == asio::error::get_ssl_category() &&
      ERR_GET_REASON(static_cast<unsigned long>(error.value())) == SSL_R_CERTIFICATE_VERIFY_FAILED;
  if (untrusted) {
    return absl::UnauthenticatedError(
        fmt::format("{} has a certificate that is not trusted ({}); name its CA with --ca",
                    endpoint.authority(), error.message()));
  }
  return absl::UnavailableError(
      fmt::format("can't {} with {} ({}); is sotto-signald running there?", doing,
                  endpoint.authority(), error.message()));
}

absl::StatusOr<asio::ip::tcp::resolver::results_type> Resolve(asio::io_context& io,
                                                              const Endpoint& endpoint) {
  asio::ip::tcp::resolver resolver(io);
  boost::system::error_code error;
  auto addresses = resolver.resolve(endpoint.host, std::to_string(endpoint.port), error);
  if (error) {
    return absl::UnavailableError(fmt::format("can't resolve \"{}\" ({}); check the server's name",
                                              endpoint.host, error.message()));
  }
  return addresses;
}

}  // namespace sotto::tools
