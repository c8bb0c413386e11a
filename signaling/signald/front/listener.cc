// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/front/listener.h"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstring>
#include <utility>

#include "relay/daemon/log.h"
#include "signaling/signald/front/client_stream.h"
#include "signaling/signald/front/connection_limits.h"
#include "signaling/signald/front/http_connection.h"

namespace sotto::signaling {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::chrono::milliseconds kPause(100);  // when there are no descriptors left

tcp::endpoint ToEndpoint(const TransportAddress& address) {
  if (address.ip.is_v4()) {
    asio::ip::address_v4::bytes_type bytes;
    std::memcpy(bytes.data(), address.ip.bytes().data(), bytes.size());
    return {asio::ip::address_v4(bytes), address.port};
  }
  asio::ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), address.ip.bytes().data(), bytes.size());
  return {asio::ip::address_v6(bytes), address.port};
}

TransportAddress FromEndpoint(const tcp::endpoint& endpoint) {
  if (endpoint.address().is_v4()) {
    const auto bytes = endpoint.address().to_v4().to_bytes();
    return {IpAddress::V4(std::span<const uint8_t, 4>(bytes)), endpoint.port()};
  }
  const auto v6 = endpoint.address().to_v6();
  const auto bytes = v6.to_bytes();
  return {IpAddress::V6(std::span<const uint8_t, 16>(bytes)), endpoint.port()};
}

absl::Status BindError(const TransportAddress& address, const boost::system::error_code& error) {
  const std::string where = fmt::format("[server] listen: {}", address.ToString());
  if (error == asio::error::address_in_use) {
    return absl::AlreadyExistsError(
        fmt::format("{} is in use by another process; stop that process, or name another "
                    "address.",
                    where));
  }
  if (error == boost::system::errc::permission_denied) {
    return absl::PermissionDeniedError(fmt::format(
        "{} needs CAP_NET_BIND_SERVICE; start as root, or use a port from 1024 up.", where));
  }
  if (error == boost::system::errc::address_not_available) {
    return absl::NotFoundError(
        fmt::format("{} is not an address of this machine; see ip address show.", where));
  }
  return absl::UnavailableError(fmt::format("can't listen on {}: {}.", where, error.message()));
}

}  // namespace

class Listener::Impl {
 public:
  using Acceptor = asio::basic_socket_acceptor<tcp, ClientStream::executor_type>;

  Impl(asio::io_context& io, const ListenerOptions& options)
      : io_(io),
        options_(options),
        limits_(std::make_shared<ConnectionLimits>(options.max_connections,
                                                   options.max_connections_per_prefix)) {}

  absl::Status Bind() {
    for (const TransportAddress& address : options_.listen) {
      const tcp::endpoint endpoint = ToEndpoint(address);
      Place& place = *places_.emplace_back(std::make_unique<Place>(io_));
      boost::system::error_code error;
      place.acceptor.open(endpoint.protocol(), error);
      if (!error) place.acceptor.set_option(tcp::acceptor::reuse_address(true), error);
      // [::]:443 doesn't take what 0.0.0.0:443 is for.
      if (!error && address.ip.is_v6()) {
        place.acceptor.set_option(asio::ip::v6_only(true), error);
      }
      if (!error) place.acceptor.bind(endpoint, error);
      if (!error) place.acceptor.listen(4096, error);
      if (!error) place.acceptor.non_blocking(true, error);
      if (error) return BindError(address, error);
    }
    return absl::OkStatus();
  }

  void Start(Service& service, std::function<void()> after_service, std::function<int64_t()> unix_s,
             Content content) {
    websocket_ = {.service = &service, .after_service = std::move(after_service)};
    unix_s_ = std::move(unix_s);
    SetContent(std::move(content));
    for (const auto& place : places_) Accept(*place);
  }

  void SetContent(Content content) {
    tls_ = std::move(content.tls);
    environment_ = std::make_shared<const HttpEnvironment>(HttpEnvironment{
        .websocket = &websocket_,
        .tls = tls_ != nullptr,
        .origins = std::move(content.origins),
        .web_root = std::move(content.web_root),
        .development = content.development,
        .unix_s = unix_s_,
    });
  }

  void Stop() {
    boost::system::error_code ignored;
    for (const auto& place : places_) {
      place->acceptor.close(ignored);
      place->pause.cancel();
    }
  }

  void SetLimits(uint32_t most, uint32_t most_of_prefix) { limits_->Set(most, most_of_prefix); }

  uint32_t connections() const { return limits_->taken(); }
  Counters counters() const { return counters_; }
  std::vector<TransportAddress> addresses() const {
    std::vector<TransportAddress> addresses;
    for (const auto& place : places_) {
      addresses.push_back(FromEndpoint(place->acceptor.local_endpoint()));
    }
    return addresses;
  }

 private:
  struct Place {
    explicit Place(asio::io_context& io) : acceptor(io.get_executor()), pause(io) {}
    Acceptor acceptor;
    asio::steady_timer pause;
  };

  void Accept(Place& place) {
    place.acceptor.async_accept(
        [this, &place](boost::system::error_code error, ClientStream::Socket socket) {
          if (error == asio::error::operation_aborted || !place.acceptor.is_open()) return;
          if (error) return Pause(place, error);
          OnAccepted(std::move(socket));
          Accept(place);
        });
  }

  void Pause(Place& place, const boost::system::error_code& error) {
    Log(LogLevel::kWarning, "Failed to accept a connection.", {{"error", error.message()}});
    place.pause.expires_after(kPause);
    place.pause.async_wait([this, &place](boost::system::error_code ended) {
      if (!ended) Accept(place);
    });
  }

  void OnAccepted(ClientStream::Socket socket) {
    boost::system::error_code error;
    const tcp::endpoint source = socket.remote_endpoint(error);
    if (error) return;
    std::optional<ConnectionLimits::Place> taken = limits_->Take(
        FromEndpoint(source).ip,
        static_cast<MonotonicMs>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                     std::chrono::steady_clock::now().time_since_epoch())
                                     .count()));
    ++(taken ? counters_.accepted : counters_.refused);
    if (!taken) return;  // closed before a byte is read
    socket.set_option(tcp::no_delay(true), error);
    socket.non_blocking(true, error);
    if (!error) socket.native_non_blocking(true, error);
    if (error) return;
    StartHttp(ClientStream(std::move(socket), tls_), *std::move(taken), environment_);
  }

  asio::io_context& io_;
  const ListenerOptions options_;
  std::shared_ptr<ConnectionLimits> limits_;
  Counters counters_;
  std::vector<std::unique_ptr<Place>> places_;
  WebSocketEnvironment websocket_;
  std::function<int64_t()> unix_s_;
  std::shared_ptr<TlsContext> tls_;
  std::shared_ptr<const HttpEnvironment> environment_;
};

Listener::Listener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Listener::~Listener() = default;

absl::StatusOr<std::unique_ptr<Listener>> Listener::Create(asio::io_context& io,
                                                           const ListenerOptions& options) {
  auto impl = std::make_unique<Impl>(io, options);
  if (absl::Status status = impl->Bind(); !status.ok()) return status;
  return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

void Listener::Start(Service& service, std::function<void()> after_service,
                     std::function<int64_t()> unix_s, Content content) {
  impl_->Start(service, std::move(after_service), std::move(unix_s), std::move(content));
}
void Listener::SetContent(Content content) { impl_->SetContent(std::move(content)); }
void Listener::SetLimits(uint32_t max_connections, uint32_t max_connections_per_prefix) {
  impl_->SetLimits(max_connections, max_connections_per_prefix);
}
void Listener::Stop() { impl_->Stop(); }
Listener::Counters Listener::counters() const { return impl_->counters(); }
uint32_t Listener::connections() const { return impl_->connections(); }
std::vector<TransportAddress> Listener::addresses() const { return impl_->addresses(); }

}  // namespace sotto::signaling
