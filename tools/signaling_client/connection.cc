// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <chrono>
#include <deque>
#include <optional>
#include <random>
#include <utility>

#include "tools/signaling_client/tls_context.h"

namespace sotto::tools {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace ssl = boost::asio::ssl;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr auto kConnectTimeout = std::chrono::seconds(15);
constexpr auto kGoodbyeTimeout = std::chrono::seconds(2);
constexpr uint64_t kFirstPauseMs = 500;
constexpr uint64_t kLongestPauseMs = 30'000;
constexpr uint64_t kBusyPauseMs = 10'000;  // after 4429
constexpr std::string_view kSubprotocol = "sotto.v1";

// How a connection ended, and what that means.
struct Ending {
  absl::Status status;
  bool final = false;
  bool busy = false;
};

Ending EndingOf(uint16_t close_code, std::string_view reason) {
  const auto because = [&](std::string_view what) {
    return reason.empty() ? std::string(what)
                          : fmt::format("{} (the server says: {})", what, reason);
  };
  switch (close_code) {
    case 1000:
      return {absl::OkStatus(), true};
    case 4400:
      return {absl::InternalError(because("the server rejected a frame as not valid")), true};
    case 4401:
      return {absl::UnauthenticatedError(
                  because("the server rejected the identity, or it has expired; get a new one")),
              true};
    case 4403:
      return {absl::PermissionDeniedError("the operator of the server blocks this account"), true};
    case 4409:
      return {absl::AlreadyExistsError(
                  because("the same device connected again; don't use one state file in two "
                          "places")),
              true};
    case 4410:
      return {absl::PermissionDeniedError(
                  because("this device was removed by another one of the account")),
              true};
    case 4429:
      return {absl::ResourceExhaustedError(because("the server refused this client because of a "
                                                   "limit")),
              false, true};
    default:
      return {absl::UnavailableError(
                  because(fmt::format("the server closed the connection with {}", close_code))),
              false};
  }
}

}  // namespace

uint64_t SteadyMs() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

struct Connector::Impl {
  asio::io_context& io;
  Endpoint endpoint;
  TlsOptions tls;
  ssl::context context{ssl::context::tls_client};
  asio::ip::tcp::resolver::results_type addresses;
};

Connector::Connector(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Connector::~Connector() = default;

absl::StatusOr<std::unique_ptr<Connector>> Connector::Create(asio::io_context& io,
                                                             const Endpoint& endpoint,
                                                             const TlsOptions& tls) {
  auto impl =
      std::make_unique<Impl>(Impl{io, endpoint, tls, ssl::context(ssl::context::tls_client), {}});
  if (auto status = SetUpTls(impl->context, tls); !status.ok()) return status;
  auto addresses = Resolve(io, endpoint);
  if (!addresses.ok()) return addresses.status();
  impl->addresses = *std::move(addresses);
  return std::unique_ptr<Connector>(new Connector(std::move(impl)));
}

class Connection::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(Connector::Impl& connector, ClientOptions client, Listener& listener,
       ConnectionOptions options)
      : connector_(connector),
        listener_(&listener),
        options_(options),
        relay_(*this),
        client_(std::move(client), relay_, [this](std::string_view frame) { Write(frame); }),
        timer_(connector.io),
        pause_(connector.io),
        random_(std::random_device{}()) {}

  void Start() {
    asio::co_spawn(
        connector_.io, [self = shared_from_this()]() { return self->Run(); }, asio::detached);
  }

  void Stop() {
    stopping_ = true;
    pause_.cancel();
    if (client_.phase() != Client::Phase::kReady) {
      Cut();
      return;
    }
    client_.Goodbye(SteadyMs());
    timer_.expires_after(kGoodbyeTimeout);
    timer_.async_wait([self = shared_from_this()](error_code error) {
      if (!error) self->Cut();
    });
  }

  void Cut() {
    if (stream_) beast::get_lowest_layer(*stream_).close();
  }

  void Abandon() {
    listener_ = nullptr;
    stopping_ = true;
    timer_.cancel();
    pause_.cancel();
    Cut();
  }

  void Request(api::ClientFrame frame, Client::Answer answer) {
    client_.Request(std::move(frame), SteadyMs(), std::move(answer));
    ArmTimer();
  }

  Client& client() { return client_; }

 private:
  using Stream = websocket::stream<beast::ssl_stream<beast::tcp_stream>>;

  // Stands between the client and the listener, which may leave before the connection does.
  struct Relay : Client::Listener {
    explicit Relay(Impl& owner) : impl(owner) {}
    void OnWelcome(const api::Welcome& welcome, bool resumed) override {
      impl.welcomed_ = true;
      impl.attempts_ = 0;
      if (impl.listener_) impl.listener_->OnWelcome(welcome, resumed);
    }
    void OnEvent(const api::ServerFrame& frame) override {
      if (impl.listener_) impl.listener_->OnEvent(frame);
    }
    Impl& impl;
  };

  asio::awaitable<void> Run() {
    const auto self = shared_from_this();
    uint64_t lost_ms = 0;
    for (;;) {
      Ending ending = co_await RunOnce();
      timer_.cancel();
      armed_ms_ = UINT64_MAX;
      client_.OnDisconnected();
      const uint64_t now_ms = SteadyMs();
      if (attempts_ == 0) lost_ms = now_ms;  // it was a good one until now
      if (stopping_) ending = {absl::OkStatus(), true};
      const bool in_time =
          welcomed_ && now_ms - lost_ms < uint64_t{options_.reconnect_for_s} * 1000;
      if (ending.final || !in_time) {
        if (listener_) listener_->OnEnd(ending.status);
        co_return;
      }
      if (attempts_++ == 0 && listener_) listener_->OnLost(ending.status);
      pause_.expires_after(milliseconds(PauseMs(ending.busy)));
      co_await pause_.async_wait(kAwait);
      if (stopping_) {
        if (listener_) listener_->OnEnd(absl::OkStatus());
        co_return;
      }
    }
  }

  asio::awaitable<Ending> RunOnce() {
    const Endpoint& endpoint = connector_.endpoint;
    const auto failure = [&](std::string_view doing, const error_code& error) {
      return Ending{ConnectionFailure(endpoint, doing, error)};
    };
    stream_.emplace(connector_.io, connector_.context);
    writes_.clear();
    writing_ = false;
    auto& tcp = beast::get_lowest_layer(*stream_);
    tcp.expires_after(kConnectTimeout);
    if (auto [error, at] = co_await tcp.async_connect(connector_.addresses, kAwait); error) {
      co_return failure("connect", error);
    }
    error_code ignored;
    tcp.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    ExpectServer(stream_->next_layer(), endpoint, connector_.tls);
    if (auto [error] =
            co_await stream_->next_layer().async_handshake(ssl::stream_base::client, kAwait);
        error) {
      co_return failure("agree on TLS", error);
    }
    tcp.expires_never();
    stream_->set_option(
        websocket::stream_base::timeout{kConnectTimeout, websocket::stream_base::none(), false});
    stream_->set_option(websocket::stream_base::decorator([](websocket::request_type& request) {
      request.set(beast::http::field::sec_websocket_protocol, kSubprotocol);
    }));
    stream_->read_message_max(kMaxFrameSize);
    stream_->auto_fragment(false);
    stream_->binary(true);
    websocket::response_type response;
    if (auto [error] = co_await stream_->async_handshake(response, endpoint.authority(),
                                                         endpoint.path, kAwait);
        error) {
      co_return failure("open a WebSocket", error);
    }
    if (response[beast::http::field::sec_websocket_protocol] != kSubprotocol) {
      co_return Ending{
          absl::FailedPreconditionError(fmt::format("{} does not support {}; is it "
                                                    "sotto-signald?",
                                                    endpoint.authority(), kSubprotocol)),
          true};
    }
    if (stopping_) co_return Ending{};
    client_.OnConnected(SteadyMs());
    ArmTimer();
    co_return co_await ReadAll();
  }

  asio::awaitable<Ending> ReadAll() {
    beast::flat_buffer buffer;
    for (;;) {
      auto [error, size] = co_await stream_->async_read(buffer, kAwait);
      if (error) {
        if (!dead_.ok()) co_return Ending{std::exchange(dead_, absl::OkStatus())};
        const auto& reason = stream_->reason();
        // Whatever else went wrong: a server that has said why may be gone before it is answered.
        if (reason.code != websocket::close_code::none) {
          co_return EndingOf(reason.code, {reason.reason.data(), reason.reason.size()});
        }
        co_return Ending{ConnectionFailure(connector_.endpoint, "keep the connection", error)};
      }
      if (listener_ == nullptr) co_return Ending{};  // what asked has gone
      const auto data = buffer.cdata();
      const std::string_view bytes(static_cast<const char*>(data.data()), data.size());
      if (!stream_->got_binary()) {
        co_return Ending{
            absl::InternalError("the server sent a text frame, which sotto.v1 does not allow"),
            true};
      }
      listener_->OnFrame(true, bytes);
      if (auto status = client_.OnFrame(bytes, SteadyMs()); !status.ok()) {
        websocket::close_reason reason(static_cast<websocket::close_code>(4400));
        beast::get_lowest_layer(*stream_).expires_after(kGoodbyeTimeout);
        co_await stream_->async_close(reason, kAwait);
        co_return Ending{status, true};
      }
      buffer.consume(buffer.size());
      ArmTimer();
    }
  }

  void Write(std::string_view frame) {
    if (listener_) listener_->OnFrame(false, frame);
    writes_.emplace_back(frame);
    if (!writing_) WriteNext();
  }

  void WriteNext() {
    writing_ = true;
    stream_->async_write(asio::buffer(writes_.front()),
                         [self = shared_from_this(), stream = &*stream_](error_code error, size_t) {
                           self->OnWritten(error);
                         });
  }

  void OnWritten(const error_code& error) {
    if (error) return;  // the read ends with it too
    writes_.pop_front();
    writing_ = !writes_.empty();
    if (writing_) WriteNext();
  }

  void ArmTimer() {
    const uint64_t deadline_ms = client_.deadline_ms();
    if (stopping_ || deadline_ms == UINT64_MAX) return;
    // Deadlines mostly move away; the timer then finds that it came early.
    if (armed_ms_ <= deadline_ms) return;
    armed_ms_ = deadline_ms;
    const uint64_t now_ms = SteadyMs();
    timer_.expires_after(milliseconds(deadline_ms > now_ms ? deadline_ms - now_ms : 0));
    timer_.async_wait([self = shared_from_this()](error_code error) {
      if (error || self->stopping_) return;
      self->armed_ms_ = UINT64_MAX;
      if (auto status = self->client_.Poll(SteadyMs()); !status.ok()) {
        self->dead_ = std::move(status);
        self->Cut();
        return;
      }
      self->ArmTimer();
    });
  }

  uint64_t PauseMs(bool busy) {
    const uint64_t longest =
        std::min(kLongestPauseMs, kFirstPauseMs << std::min<uint32_t>(attempts_ - 1, 10));
    // Spread, so that the clients of a server that restarts don't come all at once.
    std::uniform_int_distribution<uint64_t> spread(longest / 2, longest);
    return spread(random_) + (busy ? kBusyPauseMs : 0);
  }

  Connector::Impl& connector_;
  Listener* listener_;
  const ConnectionOptions options_;
  Relay relay_;
  Client client_;
  std::optional<Stream> stream_;
  std::deque<std::string> writes_;
  bool writing_ = false;
  asio::steady_timer timer_;
  asio::steady_timer pause_;
  uint64_t armed_ms_ = UINT64_MAX;  // what the timer waits for
  absl::Status dead_;               // why this side has cut the connection
  bool welcomed_ = false;
  bool stopping_ = false;
  uint32_t attempts_ = 0;  // to make it again
  std::minstd_rand random_;
};

Connection::Connection(Connector& connector, ClientOptions client, Listener& listener,
                       ConnectionOptions options)
    : impl_(std::make_shared<Impl>(*connector.impl_, std::move(client), listener, options)) {}

Connection::~Connection() { impl_->Abandon(); }

void Connection::Start() { impl_->Start(); }
void Connection::Stop() { impl_->Stop(); }
void Connection::Drop() { impl_->Cut(); }
Client& Connection::client() { return impl_->client(); }
void Connection::Request(api::ClientFrame frame, Client::Answer answer) {
  impl_->Request(std::move(frame), std::move(answer));
}

}  // namespace sotto::tools
