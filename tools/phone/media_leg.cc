// SPDX-License-Identifier: Apache-2.0
#include "tools/phone/media_leg.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <ctime>
#include <utility>

#include "relay/wire/channel_data.h"

namespace sotto::tools {
namespace {

namespace asio = boost::asio;

constexpr uint16_t kChannel = relay::kMinChannelNumber;
constexpr size_t kMaxDatagram = 2048;
constexpr size_t kMaxUrls = 16;

uint64_t MonotonicNs() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}
uint64_t RealtimeNs() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

std::optional<TransportAddress> ReadTurnUrl(std::string_view url) {
  constexpr std::string_view kScheme = "turn:", kTransport = "?transport=";
  if (!url.starts_with(kScheme)) return std::nullopt;
  url.remove_prefix(kScheme.size());
  if (const size_t at = url.find(kTransport); at != std::string_view::npos) {
    if (url.substr(at + kTransport.size()) != "udp") return std::nullopt;
    url = url.substr(0, at);
  }
  if (auto address = TransportAddress::Parse(url); address.ok()) return *address;
  // Without a port it is TURN's own (RFC 7065).
  if (auto address = TransportAddress::Parse(fmt::format("{}:3478", url)); address.ok()) {
    return *address;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<TransportAddress> MediaLeg::RelayOf(const api::IceServer& server) {
  for (size_t i = 0; i < std::min<size_t>(server.urls_size(), kMaxUrls); ++i) {
    if (auto address = ReadTurnUrl(server.urls(static_cast<int>(i)))) return *address;
  }
  return absl::InvalidArgumentError(
      "the server names no relay that has an IP address and uses UDP, such as "
      "turn:192.0.2.10:3478?transport=udp");
}

absl::StatusOr<std::unique_ptr<MediaLeg>> MediaLeg::Open(asio::io_context& io,
                                                         const api::IceServer& server,
                                                         std::function<void(News)> news) {
  const auto address = RelayOf(server);
  if (!address.ok()) return address.status();
  const auto any = IpAddress::Parse(address->ip.is_v4() ? "0.0.0.0" : "::");
  auto socket = UdpSocket::Open(*any, "");
  if (!socket.ok()) return socket.status();
  return std::unique_ptr<MediaLeg>(new MediaLeg(
      io, *address, *std::move(socket), {server.username(), server.credential()}, std::move(news)));
}

MediaLeg::MediaLeg(asio::io_context& io, TransportAddress server, UdpSocket socket,
                   Credentials credentials, std::function<void(News)> news)
    : server_(server),
      server_address_(server),
      socket_(std::move(socket)),
      descriptor_(io, dup(socket_.fd())),
      timer_(io),
      news_(std::move(news)),
      turn_({.server = server,
             .credentials = std::move(credentials),
             .families = {server.ip.family()}},
            [this](std::span<const uint8_t> datagram) { Send(datagram); }),
      batch_(kMaxDatagram) {
  turn_.Allocate(MonotonicNs() / 1'000'000);
  WaitForDatagrams();
  Poll();
}

MediaLeg::~MediaLeg() { *alive_ = false; }

void MediaLeg::Send(std::span<const uint8_t> datagram) {
  // What can't be sent is lost, as on any network; TURN sends again, media counts it.
  socket_.Send(server_address_, datagram);
}

void MediaLeg::WaitForDatagrams() {
  descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                         [this, alive = alive_](boost::system::error_code error) {
                           if (error || !*alive) return;
                           Receive();
                           Poll();
                           WaitForDatagrams();
                         });
}

void MediaLeg::Receive() {
  const auto datagrams = batch_.Receive(socket_);
  if (datagrams.empty()) {
    socket_.TakeError();
    return;
  }
  const uint64_t now_ns = MonotonicNs();
  for (const auto& datagram : datagrams) {
    if (!server_address_.SameAs(*datagram.from)) {
      ++foreign_;
      continue;
    }
    const auto media = turn_.HandleDatagram(datagram.bytes, now_ns / 1'000'000);
    if (media && flow_) flow_->OnPacket(media->data, datagram.time_ns, now_ns);
  }
}

void MediaLeg::SetCipher(const MediaFlowOptions& options, MediaCipher cipher) {
  flow_.emplace(options, std::move(cipher), [this](std::span<const uint8_t> payload) {
    channel_data_.resize(relay::kChannelDataHeaderSize + payload.size());
    relay::WriteChannelDataHeader(channel_data_.data(), kChannel,
                                  static_cast<uint16_t>(payload.size()));
    std::copy(payload.begin(), payload.end(),
              channel_data_.begin() + relay::kChannelDataHeaderSize);
    Send(channel_data_);
  });
  Poll();
}

void MediaLeg::SetPeer(const TransportAddress& relayed) {
  peer_ = relayed;
  Connect();
  Poll();
}

void MediaLeg::Connect() {
  if (bound_ || !peer_ || turn_.state() != TurnClient::State::kAllocated) return;
  bound_ = true;
  turn_.BindChannel(kChannel, *peer_, MonotonicNs() / 1'000'000);
}

void MediaLeg::EndMedia() {
  if (flow_) flow_->End();
  Poll();
}

void MediaLeg::Release() {
  turn_.Release(MonotonicNs() / 1'000'000);
  flow_ ? flow_->End() : void();
  Poll();
}

bool MediaLeg::released() const {
  return turn_.state() == TurnClient::State::kReleased ||
         turn_.state() == TurnClient::State::kFailed;
}

void MediaLeg::Poll() {
  const uint64_t now_ns = MonotonicNs();
  turn_.Poll(now_ns / 1'000'000);
  const auto state = turn_.state();
  if (state == TurnClient::State::kAllocated && !told_allocated_) {
    told_allocated_ = true;
    Tell(News::kAllocated);
    Connect();
  }
  const bool leaving =
      state == TurnClient::State::kReleasing || state == TurnClient::State::kReleased;
  if (!turn_.status().ok() && !told_failed_ && !leaving) {
    told_failed_ = true;
    status_ = turn_.status();
    Tell(News::kFailed);
  }
  uint64_t deadline_ns =
      turn_.deadline_ms() == UINT64_MAX ? UINT64_MAX : turn_.deadline_ms() * 1'000'000;
  if (flow_ && bound_ && turn_.settled() && state == TurnClient::State::kAllocated &&
      turn_.status().ok()) {
    flow_->Poll(now_ns, RealtimeNs());
    deadline_ns = std::min(deadline_ns, flow_->deadline_ns());
    if (flow_->heard() && !told_talking_) {
      told_talking_ = true;
      Tell(News::kTalking);
    }
    if (flow_->finished() && !told_finished_) {
      told_finished_ = true;
      Tell(News::kFinished);
    }
  }
  if (deadline_ns == UINT64_MAX) return;
  timer_.expires_after(std::chrono::nanoseconds(deadline_ns > now_ns ? deadline_ns - now_ns : 0));
  timer_.async_wait([this, alive = alive_](boost::system::error_code error) {
    if (!error && *alive) Poll();
  });
}

// Posted, so that who hears the news may do anything with the leg, its end included.
void MediaLeg::Tell(News news) {
  asio::post(timer_.get_executor(), [this, alive = alive_, news] {
    if (*alive) news_(news);
  });
}

TransportAddress MediaLeg::local() const {
  // The kernel chooses the address by the route, and a connected socket knows it.
  TransportAddress local = socket_.local_address();
  const int fd = ::socket(server_address_.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  SocketAddress name(local);
  if (fd >= 0 && connect(fd, &server_address_.any, server_address_.size) == 0 &&
      getsockname(fd, &name.any, &name.size) == 0) {
    if (server_.ip.is_v4()) {
      local.ip = IpAddress::V4(
          std::span<const uint8_t, 4>(reinterpret_cast<const uint8_t*>(&name.v4.sin_addr), 4));
    } else {
      local.ip = IpAddress::V6(
          std::span<const uint8_t, 16>(reinterpret_cast<const uint8_t*>(&name.v6.sin6_addr), 16));
    }
  }
  if (fd >= 0) close(fd);
  return local;
}

std::optional<TransportAddress> MediaLeg::relayed() const {
  return turn_.relayed_address(server_.ip.family());
}

}  // namespace sotto::tools
