// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/front/websocket_connection.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

namespace sotto::signaling {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;

constexpr size_t kMaxWaiting = 512 * 1024;  // bytes of messages that the client hasn't taken
constexpr std::chrono::seconds kHandshakePatience(10);
constexpr std::chrono::seconds kClosePatience(5);
constexpr size_t kKeptBuffer = 2048;
// WebSocket's own pings cost the server as much as the client, and mean nothing here.
constexpr uint32_t kMaxPingsBetweenMessages = 64;

class WebSocketConnection final : public Connection,
                                  public std::enable_shared_from_this<WebSocketConnection> {
 public:
  WebSocketConnection(ClientStream stream, ConnectionLimits::Place place,
                      WebSocketEnvironment& environment)
      : place_(std::move(place)), environment_(environment), websocket_(std::move(stream)) {}

  void Accept(const HttpRequest& request) {
    websocket_.set_option(websocket::stream_base::timeout{
        .handshake_timeout = kHandshakePatience,
        .idle_timeout = websocket::stream_base::none(),  // the service's heartbeat sees to that
        .keep_alive_pings = false});
    websocket_.set_option(websocket::stream_base::decorator([](websocket::response_type& response) {
      response.set(beast::http::field::sec_websocket_protocol, "sotto.v1");
      response.set(beast::http::field::server, "sotto-signald");
    }));
    websocket_.read_message_max(kMaxMessageSize);
    websocket_.auto_fragment(false);
    websocket_.binary(true);
    websocket_.control_callback([this](websocket::frame_type, beast::string_view) {
      if (++pings_ > kMaxPingsBetweenMessages) websocket_.next_layer().Close();
    });
    websocket_.async_accept(request, [self = shared_from_this()](beast::error_code error) {
      if (error) return;
      self->id_ = self->environment_.service->OnOpen(*self);
      self->open_ = !self->close_;
      self->environment_.after_service();
      self->Read();
    });
  }

  bool Send(std::string message) override {
    if (waiting_bytes_ + message.size() > kMaxWaiting) return false;
    waiting_bytes_ += message.size();
    waiting_.push_back(std::move(message));
    if (!writing_) Write();
    return true;
  }

  void Close(CloseCode code, std::string_view reason) override {
    open_ = false;
    close_.emplace(static_cast<websocket::close_code>(code),
                   beast::string_view(reason.data(), reason.size()));
    // Whoever doesn't take what waits, or doesn't close in turn, isn't waited for.
    patience_.emplace(websocket_.get_executor(), kClosePatience);
    patience_->async_wait([weak = weak_from_this()](beast::error_code error) {
      const auto self = weak.lock();
      if (!error && self != nullptr) self->websocket_.next_layer().Close();
    });
    if (!writing_) SendClose();
  }

 private:
  void Read() {
    websocket_.async_read(
        in_, [self = shared_from_this()](beast::error_code error, size_t) { self->OnRead(error); });
  }

  void OnRead(beast::error_code error) {
    if (error) {
      // Too long a message: Beast has told the client so (1009); for the session it is an end like
      // any other.
      return OnEnd();
    }
    pings_ = 0;
    if (open_) {
      const auto data = in_.cdata();
      if (websocket_.got_text()) {
        // Not protobuf, whatever it says: a frame that can't be parsed.
        static constexpr uint8_t kNoFrame[] = {0xFF};
        environment_.service->OnMessage(id_, kNoFrame);
      } else {
        environment_.service->OnMessage(id_,
                                        {static_cast<const uint8_t*>(data.data()), data.size()});
      }
      environment_.after_service();
    }
    in_.clear();
    if (in_.capacity() > kKeptBuffer) in_.shrink_to_fit();
    Read();
  }

  void OnEnd() {
    if (std::exchange(open_, false)) {
      environment_.service->OnClosed(id_);
      environment_.after_service();
    }
  }

  void Write() {
    if (waiting_.empty()) {
      writing_ = false;
      if (close_ && !closing_) SendClose();
      return;
    }
    writing_ = true;
    // Taken together, sent one after another: a queue that costs nothing while it is empty.
    if (batch_next_ == batch_.size()) {
      batch_ = std::exchange(waiting_, {});
      batch_next_ = 0;
    }
    WriteNext();
  }

  void WriteNext() {
    websocket_.async_write(asio::buffer(batch_[batch_next_]),
                           [self = shared_from_this()](beast::error_code error, size_t size) {
                             self->OnWritten(error, size);
                           });
  }

  void OnWritten(beast::error_code error, size_t size) {
    if (error) {
      writing_ = false;
      websocket_.next_layer().Close();
      return OnEnd();
    }
    waiting_bytes_ -= size;
    batch_[batch_next_] = {};
    if (++batch_next_ < batch_.size()) return WriteNext();
    batch_ = {};
    batch_next_ = 0;
    Write();
  }

  void SendClose() {
    closing_ = true;
    websocket_.async_close(*close_, [self = shared_from_this()](beast::error_code) {
      self->patience_.reset();
      self->websocket_.next_layer().Close();
    });
  }

  ConnectionLimits::Place place_;
  WebSocketEnvironment& environment_;
  websocket::stream<ClientStream, false> websocket_;
  beast::flat_buffer in_;
  ConnectionId id_ = 0;
  bool open_ = false;  // the service has it
  bool writing_ = false;
  bool closing_ = false;
  uint32_t pings_ = 0;
  size_t waiting_bytes_ = 0;  // in both of these
  size_t batch_next_ = 0;
  std::vector<std::string> batch_;
  std::vector<std::string> waiting_;
  std::optional<websocket::close_reason> close_;
  std::optional<asio::steady_timer> patience_;
};

}  // namespace

void StartWebSocket(ClientStream stream, HttpRequest request, ConnectionLimits::Place place,
                    WebSocketEnvironment& environment) {
  std::make_shared<WebSocketConnection>(std::move(stream), std::move(place), environment)
      ->Accept(request);
}

}  // namespace sotto::signaling
