// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/metrics_server.h"

#include <fmt/format.h>
#include <prometheus/text_serializer.h>
#include <pthread.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <list>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

namespace sotto {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using Clock = std::chrono::steady_clock;

constexpr uint32_t kMaxHeader = 8192;
constexpr std::chrono::milliseconds kAcceptPause(100);
constexpr std::string_view kTextFormat = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::string_view kPlain = "text/plain; charset=utf-8";

struct Answer {
  http::status status = http::status::ok;
  std::string_view type = kPlain;
  std::shared_ptr<const std::string> body;
};

Answer Refusal(http::status status, std::string_view sentence) {
  return {.status = status, .body = std::make_shared<std::string>(sentence)};
}

asio::ip::tcp::endpoint EndpointOf(const TransportAddress& address) {
  const auto bytes = address.ip.bytes();
  if (address.ip.is_v4()) {
    asio::ip::address_v4::bytes_type v4;
    std::copy(bytes.begin(), bytes.end(), v4.begin());
    return {asio::ip::address_v4(v4), address.port};
  }
  asio::ip::address_v6::bytes_type v6;
  std::copy(bytes.begin(), bytes.end(), v6.begin());
  return {asio::ip::address_v6(v6), address.port};
}

}  // namespace

// Everything but the constructor and Post() runs on the thread.
class MetricsServer::Impl {
 public:
  explicit Impl(const MetricsServerOptions& options)
      : options_(options), acceptor_(io_), accept_pause_(io_) {}
  ~Impl() {
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen() {
    const asio::ip::tcp::endpoint endpoint = EndpointOf(options_.listen);
    beast::error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error && endpoint.protocol() == asio::ip::tcp::v6()) {
      acceptor_.set_option(asio::ip::v6_only(true), error);
    }
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return absl::UnavailableError(
          fmt::format("[metrics] listen: can't listen on {} ({}); check that it is an address of "
                      "this host and that the port is free.",
                      options_.listen.ToString(), error.message()));
    }
    port_ = acceptor_.local_endpoint().port();
    thread_ = std::thread([this] {
      const auto work = asio::make_work_guard(io_);
      io_.run();
    });
    pthread_setname_np(thread_.native_handle(), "sotto-metrics");
    return absl::OkStatus();
  }
  void Serve(Collect collect) {
    asio::post(io_, [this, collect = std::move(collect)]() mutable {
      collect_ = std::move(collect);
      Accept();
    });
  }
  uint16_t port() const { return port_; }

 private:
  struct Connection {
    explicit Connection(asio::ip::tcp::socket socket) : stream(std::move(socket)) {}
    beast::tcp_stream stream;
    beast::flat_buffer buffer{kMaxHeader};
    // Anew for each request and each answer.
    std::optional<http::request_parser<http::empty_body>> parser;
    std::optional<http::response<http::span_body<const char>>> response;
    std::optional<http::response_serializer<http::span_body<const char>>> serializer;
    std::shared_ptr<const std::string> body;  // that `response` views
  };
  using Connections = std::list<std::shared_ptr<Connection>>;

  void Accept();
  void Read(const std::shared_ptr<Connection>& connection, std::chrono::milliseconds patience);
  void OnRead(const std::shared_ptr<Connection>& connection, beast::error_code error);
  void Write(const std::shared_ptr<Connection>& connection, Answer answer, bool keep_alive);
  // By value: the list gives its own up.
  void Close(std::shared_ptr<Connection> connection);
  Answer AnswerTo(const http::request<http::empty_body>& request);
  std::shared_ptr<const std::string> Metrics();

  const MetricsServerOptions options_;
  asio::io_context io_{1};
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer accept_pause_;
  uint16_t port_ = 0;
  Collect collect_;
  Connections connections_;  // the one that has been quiet for longest first
  std::shared_ptr<const std::string> metrics_;
  Clock::time_point collected_at_;
  std::thread thread_;
};

void MetricsServer::Impl::Accept() {
  acceptor_.async_accept([this](beast::error_code error, asio::ip::tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) {  // no descriptors, or no memory
      accept_pause_.expires_after(kAcceptPause);
      accept_pause_.async_wait([this](beast::error_code) { Accept(); });
      return;
    }
    if (connections_.size() >= options_.max_connections) Close(connections_.front());
    connections_.push_back(std::make_shared<Connection>(std::move(socket)));
    Read(connections_.back(), options_.patience);
    Accept();
  });
}

void MetricsServer::Impl::Read(const std::shared_ptr<Connection>& connection,
                               std::chrono::milliseconds patience) {
  connection->parser.emplace();
  connection->parser->header_limit(kMaxHeader);
  connection->parser->body_limit(0);
  connection->stream.expires_after(patience);
  http::async_read(
      connection->stream, connection->buffer, *connection->parser,
      [this, connection](beast::error_code error, size_t) { OnRead(connection, error); });
}

void MetricsServer::Impl::OnRead(const std::shared_ptr<Connection>& connection,
                                 beast::error_code error) {
  if (!error) {
    const auto& request = connection->parser->get();
    return Write(connection, AnswerTo(request), request.keep_alive());
  }
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return Write(connection,
                 Refusal(http::status::request_header_fields_too_large,
                         "The header is larger than 8 KiB.\n"),
                 false);
  }
  if (error == http::error::body_limit || error == http::error::unexpected_body) {
    return Write(connection,
                 Refusal(http::status::payload_too_large, "Requests must not have a body.\n"),
                 false);
  }
  if (error.category() == beast::error_code(http::error::bad_method).category() &&
      error != http::error::end_of_stream && error != http::error::partial_message) {
    return Write(connection, Refusal(http::status::bad_request, "This is not HTTP/1.1.\n"), false);
  }
  Close(connection);
}

Answer MetricsServer::Impl::AnswerTo(const http::request<http::empty_body>& request) {
  const std::string_view target(request.target().data(), request.target().size());
  if (target.substr(0, target.find('?')) != "/metrics") {
    return Refusal(http::status::not_found, "Metrics are at /metrics.\n");
  }
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    return Refusal(http::status::method_not_allowed, "Use GET for metrics.\n");
  }
  return {.type = kTextFormat, .body = Metrics()};
}

std::shared_ptr<const std::string> MetricsServer::Impl::Metrics() {
  if (metrics_ != nullptr && Clock::now() - collected_at_ < options_.freshness) return metrics_;
  MetricFamilies families;
  collect_(families);
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, std::move(families).Take());
  metrics_ = std::make_shared<const std::string>(std::move(out).str());
  collected_at_ = Clock::now();
  return metrics_;
}

void MetricsServer::Impl::Write(const std::shared_ptr<Connection>& connection, Answer answer,
                                bool keep_alive) {
  const auto& request = connection->parser->get();
  auto& response = connection->response.emplace(answer.status, 11);
  response.keep_alive(keep_alive);
  response.set(http::field::content_type,
               beast::string_view(answer.type.data(), answer.type.size()));
  response.set(http::field::cache_control, "no-store");
  response.set("X-Content-Type-Options", "nosniff");
  if (answer.status == http::status::method_not_allowed) {
    response.set(http::field::allow, "GET, HEAD");
  }
  connection->body = std::move(answer.body);
  response.content_length(connection->body->size());
  response.body() = {connection->body->data(), connection->body->size()};
  connection->serializer.emplace(response);
  const auto then = [this, connection](beast::error_code error, size_t) {
    const bool more = !error && connection->response->keep_alive();
    connection->serializer.reset();
    connection->response.reset();
    connection->body.reset();
    if (!more) return Close(connection);
    // Now it is quiet, and behind those that have been for longer.
    const auto place = std::ranges::find(connections_, connection);
    if (place == connections_.end()) return;
    connections_.splice(connections_.end(), connections_, place);
    Read(connection, options_.keep_alive);
  };
  connection->stream.expires_after(options_.patience);
  if (request.method() == http::verb::head) {
    http::async_write_header(connection->stream, *connection->serializer, then);
  } else {
    http::async_write(connection->stream, *connection->serializer, then);
  }
}

void MetricsServer::Impl::Close(std::shared_ptr<Connection> connection) {
  connections_.remove(connection);
  beast::error_code ignored;
  connection->stream.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  connection->stream.close();
}

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Open(
    const MetricsServerOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  if (absl::Status status = impl->Listen(); !status.ok()) return status;
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(impl)));
}

MetricsServer::MetricsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MetricsServer::~MetricsServer() = default;

void MetricsServer::Serve(Collect collect) { impl_->Serve(std::move(collect)); }
uint16_t MetricsServer::port() const { return impl_->port(); }

}  // namespace sotto
