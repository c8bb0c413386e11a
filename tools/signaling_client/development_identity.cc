// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <nlohmann/json.hpp>

#include "tools/signaling_client/connection.h"
#include "tools/signaling_client/tls_context.h"

namespace sotto::tools {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::string_view kTarget = "/v1/development/identity";

using Identities = absl::StatusOr<std::vector<std::string>>;

absl::Status Unexpected(const Endpoint& endpoint, const http::response<http::string_body>& answer) {
  const std::string what =
      fmt::format("{} answers {} with {}", endpoint.authority(), kTarget, answer.result_int());
  if (answer.result() == http::status::not_found) {
    return absl::NotFoundError(fmt::format(
        "{}: the server does not issue development identities; give --identity, or set [identity] "
        "development = true on the server",
        what));
  }
  return absl::UnavailableError(fmt::format("{}; its log says why", what));
}

asio::awaitable<void> Fetch(asio::io_context& io, ssl::context& context, const Endpoint& endpoint,
                            const TlsOptions& tls, const std::vector<std::string>& accounts,
                            Identities& result) {
  const auto addresses = Resolve(io, endpoint);
  if (!addresses.ok()) {
    result = addresses.status();
    co_return;
  }
  beast::ssl_stream<beast::tcp_stream> stream(io, context);
  auto& tcp = beast::get_lowest_layer(stream);
  tcp.expires_after(std::chrono::seconds(15));
  if (auto [error, at] = co_await tcp.async_connect(*addresses, kAwait); error) {
    result = ConnectionFailure(endpoint, "connect", error);
    co_return;
  }
  ExpectServer(stream, endpoint, tls);
  if (auto [error] = co_await stream.async_handshake(ssl::stream_base::client, kAwait); error) {
    result = ConnectionFailure(endpoint, "agree on TLS", error);
    co_return;
  }
  std::vector<std::string> identities;
  beast::flat_buffer buffer;
  for (const std::string& account : accounts) {
    tcp.expires_after(std::chrono::seconds(15));
    http::request<http::string_body> request(
        http::verb::post, beast::string_view(kTarget.data(), kTarget.size()), 11);
    request.set(http::field::host, endpoint.authority());
    request.set(http::field::content_type, "application/json");
    request.body() = nlohmann::json({{"account", account}}).dump();
    request.prepare_payload();
    if (auto [error, size] = co_await http::async_write(stream, request, kAwait); error) {
      result = ConnectionFailure(endpoint, "ask for an identity", error);
      co_return;
    }
    http::response<http::string_body> answer;
    if (auto [error, size] = co_await http::async_read(stream, buffer, answer, kAwait); error) {
      result = ConnectionFailure(endpoint, "get an identity", error);
      co_return;
    }
    const auto json = nlohmann::json::parse(answer.body(), nullptr, false);
    if (answer.result() != http::status::ok || !json.is_object() || !json.contains("identity") ||
        !json["identity"].is_string()) {
      result = Unexpected(endpoint, answer);
      co_return;
    }
    identities.push_back(json["identity"].get<std::string>());
    if (!answer.keep_alive() && identities.size() < accounts.size()) {
      result =
          absl::UnavailableError(fmt::format("{} closes the connection after {} identities; ask "
                                             "for fewer at a time, or mint them with "
                                             "--identity-key",
                                             endpoint.authority(), identities.size()));
      co_return;
    }
  }
  result = std::move(identities);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> FetchDevelopmentIdentities(
    const Endpoint& endpoint, const TlsOptions& tls, const std::vector<std::string>& accounts) {
  asio::io_context io(1);
  ssl::context context(ssl::context::tls_client);
  if (auto status = SetUpTls(context, tls); !status.ok()) return status;
  Identities result = absl::InternalError("failed to fetch identities");
  asio::co_spawn(io, Fetch(io, context, endpoint, tls, accounts, result), asio::detached);
  io.run();
  return result;
}

}  // namespace sotto::tools
