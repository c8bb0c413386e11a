// SPDX-License-Identifier: Apache-2.0
// One leg of a call: an allocation on the relay over a kernel UDP socket, a channel to the other
// leg's relayed address, and a MediaFlow on it. On the io_context's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "signaling/api/signaling.pb.h"
#include "tools/media/udp_socket.h"
#include "tools/phone/media_flow.h"
#include "tools/turn_client/turn_client.h"

namespace sotto::tools {

namespace api = ::sotto::signaling::v1;

class MediaLeg {
 public:
  enum class News : uint8_t {
    kAllocated,
    kFailed,    // status() says why
    kTalking,   // both sides hear each other
    kFinished,  // all media is through
  };

  // The first of the server's URLs of the form "turn:ADDRESS:PORT?transport=udp".
  static absl::StatusOr<TransportAddress> RelayOf(const api::IceServer& server);

  // Begins to allocate. INVALID_ARGUMENT or UNAVAILABLE if it can't even begin. `news` is called
  // from within the io_context's run().
  static absl::StatusOr<std::unique_ptr<MediaLeg>> Open(boost::asio::io_context& io,
                                                        const api::IceServer& server,
                                                        std::function<void(News)> news);
  ~MediaLeg();

  // Media begins once both are known, in either order.
  void SetCipher(const MediaFlowOptions& options, MediaCipher cipher);
  void SetPeer(const TransportAddress& relayed);
  // Sends no more media; kFinished comes when the other side has ended too, or is silent.
  void EndMedia();
  // Ends the allocation; true from released() on.
  void Release();
  bool released() const;

  const absl::Status& status() const { return status_; }
  const MediaReport* report() const { return flow_ ? &flow_->report() : nullptr; }
  const TransportAddress& server() const { return server_; }
  TransportAddress local() const;  // this host's side of the way to the relay
  std::optional<TransportAddress> relayed() const;
  // Datagrams that the socket got from elsewhere than the relay.
  uint64_t foreign() const { return foreign_; }

 private:
  MediaLeg(boost::asio::io_context& io, TransportAddress server, UdpSocket socket,
           Credentials credentials, std::function<void(News)> news);

  void Send(std::span<const uint8_t> datagram);
  void WaitForDatagrams();
  void Receive();
  void Poll();
  void Connect();
  void Tell(News news);

  const TransportAddress server_;
  const SocketAddress server_address_;
  UdpSocket socket_;
  boost::asio::posix::stream_descriptor descriptor_;
  boost::asio::steady_timer timer_;
  std::function<void(News)> news_;
  TurnClient turn_;
  ReceiveBatch batch_;
  absl::Status status_;

  std::optional<TransportAddress> peer_;
  std::optional<MediaFlow> flow_;
  std::vector<uint8_t> channel_data_;
  uint64_t foreign_ = 0;
  bool told_allocated_ = false;
  bool told_failed_ = false;
  bool told_talking_ = false;
  bool told_finished_ = false;
  bool bound_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace sotto::tools
