// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/calls/shard.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "relay/wire/channel_data.h"
#include "tools/media/media_packet.h"

namespace sotto::tools {
namespace {

using State = TurnClient::State;

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSecond = 1'000'000'000;

// Calls that are being set up at a time: enough to be quick, not so many that the relay's bounded
// queue of requests would drop some and leave them to retransmission.
constexpr size_t kSetUpWindow = 16;
// Packets that were sent last get this long to arrive.
constexpr uint64_t kDrainNs = kSecond;
constexpr uint64_t kReleaseNs = 3 * kSecond;
// Sends in a row before the sockets are read.
constexpr int kSendBurst = 16;
// Behind by more than this, the schedule is moved, so that a pause of the generator doesn't turn
// into a burst that no call would send.
constexpr uint64_t kMaxCatchUpNs = 10 * kMs;
constexpr uint64_t kOvertimeNs = 100 * kMs;
// Waits longer than this are slept through, shorter ones spun away: waking up takes that long.
constexpr uint64_t kSpinNs = 60'000;
constexpr uint64_t kClientPollNs = 10 * kMs;
constexpr uint32_t kMaxReopened = 3;
constexpr size_t kReportedCalls = 4;
constexpr size_t kIndicationOverhead = 48;

uint64_t ClockNs(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<uint64_t>(time.tv_sec) * kSecond + static_cast<uint64_t>(time.tv_nsec);
}

size_t MaxDatagram(const CallsOptions& options) {
  return std::max<size_t>(2048, options.payload + 256);
}

}  // namespace

uint64_t MonotonicNs() { return ClockNs(CLOCK_MONOTONIC); }
uint64_t RealtimeNs() { return ClockNs(CLOCK_REALTIME); }

struct CallShard::Leg {
  UdpSocket socket;
  TurnClient client;
  FlowTracker arrived{};                      // of what is sent to this leg
  std::array<TransportAddress, 2> peer = {};  // the other leg's relayed address, by family index
  uint16_t first_channel = 0;                 // and the next one for the second family
  uint32_t next_sequence = 0;                 // of what counts
  uint32_t next_warmup = 0;
  uint64_t began_ns = 0;
  uint32_t reopened = 0;  // times that a new port was needed
  bool connected = false;
};

CallShard::CallShard(const CallsOptions& options, uint32_t first, uint32_t count, uint32_t run,
                     uint64_t key, const std::atomic<bool>& interrupted,
                     const std::atomic<bool>& failed)
    : options_(options),
      first_call_(first),
      call_count_(count),
      run_(run),
      key_(key),
      interrupted_(interrupted),
      failed_(failed),
      server_(options.server),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      batch_(MaxDatagram(options)),
      out_(options.payload + kIndicationOverhead + 4) {}

CallShard::~CallShard() {
  if (epoll_ >= 0) close(epoll_);
}

absl::Status CallShard::Open() {
  legs_.resize(size_t{call_count_} * 2);
  for (size_t i = 0; i < legs_.size(); ++i) {
    if (absl::Status status = OpenLeg(i); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CallShard::OpenLeg(size_t index) {
  const uint32_t call = first_call_ + static_cast<uint32_t>(index / 2);
  const size_t side = index % 2;
  auto socket = UdpSocket::Open(options_.local[side], options_.netns[side]);
  if (!socket.ok()) return socket.status();

  TurnClientOptions client;
  client.server = options_.server;
  client.families = options_.families;
  client.retransmission = {.initial_rto_ms = 500, .max_sends = 5, .last_wait_rtos = 8};
  if (options_.secret.empty()) {
    client.credentials = {options_.user, options_.password};
  } else {
    const int64_t expiry = static_cast<int64_t>(RealtimeNs() / kSecond) + 3600 +
                           static_cast<int64_t>(options_.seconds + options_.warmup);
    const std::string name = options_.call_policy
                                 ? fmt::format("{}-{}/{}", options_.name, call, "ab"[side])
                                 : options_.name;
    client.credentials = TimeLimitedCredentials(options_.secret, expiry, name);
  }
  // The old socket is closed after the new one has its port, so that they differ.
  legs_[index] = std::unique_ptr<Leg>(
      new Leg{std::move(*socket), TurnClient(std::move(client), [this, index](auto datagram) {
                leg(index).socket.Send(server_, datagram);
              })});
  // Different numbers on both sides, so that one taken for the other is noticed.
  leg(index).first_channel =
      static_cast<uint16_t>(relay::kMinChannelNumber + (size_t{2} * call + side * 0x77e) % 0x0ffe);
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = index}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, leg(index).socket.fd(), &event);
  return absl::OkStatus();
}

void CallShard::Allocate(size_t index) { leg(index).client.Allocate(MonotonicNs() / kMs); }

// RFC 8656, section 7.4: after 437 a client tries again from another port.
absl::Status CallShard::ReopenMismatched(size_t call) {
  for (size_t index : {2 * call, 2 * call + 1}) {
    const Leg& old = leg(index);
    if (old.client.state() != State::kFailed || old.client.error_code() != 437 ||
        old.reopened == kMaxReopened) {
      continue;
    }
    const uint32_t reopened = old.reopened + 1;
    const uint64_t began_ns = old.began_ns;
    if (absl::Status status = OpenLeg(index); !status.ok()) return status;
    leg(index).reopened = reopened;
    leg(index).began_ns = began_ns;
    Allocate(index);
  }
  return absl::OkStatus();
}

absl::Status CallShard::SetUp() {
  const uint64_t began = MonotonicNs();
  size_t next = 0;
  std::vector<size_t> pending;  // calls
  while (next < call_count_ || !pending.empty()) {
    if (Stopped()) return absl::CancelledError("interrupted");
    while (next < call_count_ && pending.size() < kSetUpWindow) {
      for (size_t side = 0; side < 2; ++side) {
        leg(2 * next + side).began_ns = MonotonicNs();
        Allocate(2 * next + side);
      }
      pending.push_back(next++);
    }
    Receive(5 * kMs);
    PollClients();
    if (!icmp_error_.ok()) return icmp_error_;
    for (const size_t call : pending) {
      if (absl::Status status = ReopenMismatched(call); !status.ok()) return status;
    }
    if (absl::Status status = FirstFailure(); !status.ok()) return status;
    for (size_t i = 0; i < pending.size();) {
      ConnectCall(pending[i]);
      const Leg& a = leg(2 * pending[i]);
      const Leg& b = leg(2 * pending[i] + 1);
      if (a.connected && b.connected && a.client.settled() && b.client.settled()) {
        report_.call_setup.Record(MonotonicNs() - a.began_ns);
        ++report_.calls_ready;
        pending.erase(pending.begin() + static_cast<ptrdiff_t>(i));
      } else {
        ++i;
      }
    }
  }
  report_.setup_seconds = static_cast<double>(MonotonicNs() - began) / kSecond;
  for (size_t i = 0; i < std::min(legs_.size(), 2 * kReportedCalls); ++i) {
    LegReport& out = report_.legs.emplace_back();
    out.call = first_call_ + static_cast<uint32_t>(i / 2);
    out.leg = "ab"[i % 2];
    out.client = leg(i).socket.local_address();
    out.mapped = leg(i).client.mapped_address();
    for (const IpFamily family : options_.families) {
      out.relayed.push_back(*leg(i).client.relayed_address(family));
    }
  }
  if (const auto algorithm = leg(0).client.algorithm()) {
    report_.algorithm = *algorithm == relay::PasswordAlgorithm::kSha256 ? "SHA-256" : "MD5";
  }
  return absl::OkStatus();
}

// Once both legs are allocated, each is told about the other.
void CallShard::ConnectCall(size_t call) {
  Leg& a = leg(2 * call);
  Leg& b = leg(2 * call + 1);
  if (a.connected || a.client.state() != State::kAllocated ||
      b.client.state() != State::kAllocated) {
    return;
  }
  const uint64_t now_ms = MonotonicNs() / kMs;
  for (const auto& [self, other] : {std::pair<Leg&, Leg&>{a, b}, {b, a}}) {
    for (size_t f = 0; f < options_.families.size(); ++f) {
      self.peer[f] = *other.client.relayed_address(options_.families[f]);
      self.client.CreatePermission(self.peer[f].ip, now_ms);
      if (!options_.send_indications) {
        self.client.BindChannel(static_cast<uint16_t>(self.first_channel + f), self.peer[f],
                                now_ms);
      }
    }
    self.connected = true;
  }
}

absl::Status CallShard::FirstFailure() const {
  for (const auto& leg : legs_) {
    if (!leg->client.status().ok()) return leg->client.status();
  }
  return absl::OkStatus();
}

void CallShard::PollClients() {
  const uint64_t now_ms = MonotonicNs() / kMs;
  for (const auto& leg : legs_) {
    if (leg->client.deadline_ms() <= now_ms) leg->client.Poll(now_ms);
  }
}

absl::Status CallShard::IcmpFailure(const Leg& leg, int error) const {
  const std::string server = options_.server.ToString();
  const std::string local = leg.socket.local_address().ToString();
  switch (error) {
    case ECONNREFUSED:
      return absl::UnavailableError(fmt::format(
          "nothing listens on UDP {} (port unreachable); start the relay, or correct --server",
          server));
    case EHOSTUNREACH:
    case ENETUNREACH:
      return absl::UnavailableError(
          fmt::format("no route from {} to {} ({}); check routes, --local and --netns", local,
                      server, std::strerror(error)));
    default:
      return absl::UnavailableError(
          fmt::format("can't reach {} from {} ({})", server, local, std::strerror(error)));
  }
}

void CallShard::Receive(uint64_t timeout_ns) {
  std::array<epoll_event, 64> events;
  const timespec timeout = {static_cast<time_t>(timeout_ns / kSecond),
                            static_cast<long>(timeout_ns % kSecond)};
  const int count = epoll_pwait2(epoll_, events.data(), events.size(), &timeout, nullptr);
  for (int e = 0; e < count; ++e) {
    const size_t index = events[e].data.u64;
    if ((events[e].events & EPOLLERR) != 0) {
      const int error = leg(index).socket.TakeError();
      if (error != 0 && !counting_ && icmp_error_.ok()) {
        icmp_error_ = IcmpFailure(leg(index), error);
      }
    }
    for (const ReceiveBatch::Datagram& datagram : batch_.Receive(leg(index).socket)) {
      if (!server_.SameAs(*datagram.from)) {
        ++report_.foreign;
        continue;
      }
      const auto media = leg(index).client.HandleDatagram(datagram.bytes, MonotonicNs() / kMs);
      if (media) HandleMedia(index, *media, datagram.time_ns);
    }
  }
}

void CallShard::HandleMedia(size_t leg_index, const TurnClient::PeerData& media, uint64_t time_ns) {
  const std::optional<MediaPacket> packet = ReadMediaPacket(media.data, key_);
  if (!packet || media.data.size() != options_.payload) {
    ++report_.corrupted;
    return;
  }
  Leg& receiver = leg(leg_index);
  const uint32_t call = first_call_ + static_cast<uint32_t>(leg_index / 2);
  const bool from_other_leg =
      packet->run == run_ && packet->call == call && packet->direction != leg_index % 2 &&
      media.on_channel != options_.send_indications &&
      media.peer == receiver.peer[packet->sequence % options_.families.size()];
  if (!from_other_leg) {
    ++report_.misdelivered;
    return;
  }
  if (!packet->counts) {
    ++report_.warmup_received;
    return;
  }
  switch (receiver.arrived.Note(packet->sequence)) {
    case FlowTracker::Arrival::kDuplicate:
      ++report_.duplicated;
      return;
    case FlowTracker::Arrival::kReordered:
      ++report_.reordered;
      break;
    case FlowTracker::Arrival::kInOrder:
      break;
  }
  ++report_.received;
  if (time_ns < packet->send_time_ns) {
    ++report_.negative_latencies;
  } else {
    report_.latency.Record(time_ns - packet->send_time_ns);
  }
}

bool CallShard::SendMedia(uint64_t packet_index, bool counts, uint64_t due_ns) {
  Leg& sender = leg(packet_index % legs_.size());
  MediaPacket packet;
  packet.run = run_;
  packet.call = first_call_ + static_cast<uint32_t>(packet_index % legs_.size() / 2);
  packet.direction = static_cast<uint8_t>(packet_index % 2);
  packet.counts = counts;
  packet.sequence = counts ? sender.next_sequence : sender.next_warmup;
  const size_t family = packet.sequence % options_.families.size();

  std::span<uint8_t> datagram;
  const auto write = [&](std::span<uint8_t> payload) {
    packet.send_time_ns = RealtimeNs();
    WriteMediaPacket(packet, key_, payload);
  };
  if (options_.send_indications) {
    // DATA is the last attribute, and its padding comes after it.
    const size_t size = sender.client.EncodeSendIndication(
        sender.peer[family], std::span(out_).first(options_.payload), out_);
    datagram = std::span(out_).first(size);
    write(datagram.last((size_t{options_.payload} + 3) / 4 * 4).first(options_.payload));
  } else {
    relay::WriteChannelDataHeader(out_.data(), static_cast<uint16_t>(sender.first_channel + family),
                                  static_cast<uint16_t>(options_.payload));
    datagram = std::span(out_).first(relay::kChannelDataHeaderSize + options_.payload);
    write(datagram.subspan(relay::kChannelDataHeaderSize));
  }
  const int error = sender.socket.Send(server_, datagram);
  if (error == EAGAIN || error == ENOBUFS) return false;
  if (error != 0) {
    if (report_.send_errors++ == 0) {
      report_.errors.push_back(fmt::format(
          "the kernel refused to send {} bytes ({}){}", datagram.size(), std::strerror(error),
          error == EMSGSIZE ? "; the packet exceeds the path's MTU: use a smaller --payload" : ""));
    }
    return true;
  }
  if (counts) {
    ++sender.next_sequence;
    ++report_.sent;
    const uint64_t now = MonotonicNs();
    report_.lateness.Record(now > due_ns ? now - due_ns : 0);
  } else {
    ++sender.next_warmup;
    ++report_.warmup_sent;
  }
  return true;
}

absl::Status CallShard::Run(uint64_t start_ns) {
  // Timers of this thread fire when they are due, and not up to 50 microseconds later.
  prctl(PR_SET_TIMERSLACK, 1);
  counting_ = true;
  const double interval_ns =
      kSecond * static_cast<double>(options_.calls) / (options_.pps * call_count_);
  const uint64_t warmup_ns = static_cast<uint64_t>(options_.warmup * kSecond);
  const uint64_t end_ns = start_ns + warmup_ns + static_cast<uint64_t>(options_.seconds * kSecond);
  uint64_t slipped_ns = 0;
  uint64_t next = 0;
  uint64_t next_poll = start_ns;
  absl::Status status;
  while (!Stopped()) {
    uint64_t now = MonotonicNs();
    uint64_t due = 0;
    for (int burst = 0;; ++burst) {
      due = start_ns + slipped_ns + static_cast<uint64_t>(static_cast<double>(next) * interval_ns);
      if (due > now || due >= end_ns || burst == kSendBurst) break;
      if (now - due > kMaxCatchUpNs) {
        slipped_ns += now - due;
        due = now;
      }
      if (!SendMedia(next, due >= start_ns + warmup_ns, due)) break;
      ++next;
      now = MonotonicNs();
    }
    // What was due before the end is sent, if the kernel takes it.
    if (due >= end_ns || now >= end_ns + kOvertimeNs) break;
    Receive(due > now + kSpinNs ? std::min(due - now - kSpinNs, kClientPollNs) : 0);
    if (now >= next_poll) {
      PollClients();
      next_poll = now + kClientPollNs;
      status = FirstFailure();
      if (!status.ok()) break;
    }
  }
  const uint64_t stopped = std::min(MonotonicNs(), end_ns);
  const uint64_t counted_from = start_ns + warmup_ns;
  report_.media_seconds =
      stopped > counted_from ? static_cast<double>(stopped - counted_from) / kSecond : 0;
  report_.slipped_seconds = static_cast<double>(slipped_ns) / kSecond;
  const uint64_t drained = MonotonicNs() + kDrainNs;
  while (report_.received < report_.sent && MonotonicNs() < drained) {
    Receive(kMs);
    PollClients();
  }
  return status;
}

void CallShard::Release() {
  const uint64_t give_up = MonotonicNs() + kReleaseNs;
  const auto open = [](State state) {
    return state == State::kAllocating || state == State::kReleasing;
  };
  for (size_t next = 0;;) {
    size_t busy = 0;
    for (size_t i = 0; i < next; ++i) busy += open(leg(i).client.state());
    for (; next < legs_.size() && busy < 2 * kSetUpWindow; ++next) {
      leg(next).client.Release(MonotonicNs() / kMs);
      busy += open(leg(next).client.state());
    }
    if ((busy == 0 && next == legs_.size()) || MonotonicNs() >= give_up) break;
    Receive(5 * kMs);
    PollClients();
  }
  for (const auto& leg : legs_) {
    report_.legs_released += leg->client.state() == State::kReleased;
  }
}

}  // namespace sotto::tools
