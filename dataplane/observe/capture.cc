// SPDX-License-Identifier: Apache-2.0
#include "dataplane/observe/capture.h"

#include <fmt/format.h>

#include <algorithm>

#include "dataplane/l3/headers.h"
#include "dataplane/observe/pcapng.h"

namespace sotto::dataplane {
namespace {

constexpr uint32_t kMaxSlots = 8192;
constexpr size_t kMaxRingMemory = 4u << 20;

}  // namespace

CaptureSession::CaptureSession(PacketCapture& capture, const CaptureOptions& options)
    : capture_(capture), options_(options), start_(capture.clock_.now()) {
  const auto snap = static_cast<uint16_t>(options.payload ? capture.max_frame_ + kVlanTagSize
                                                          : kCaptureHeadersSize);
  const size_t workers = capture.taps_.size();
  const size_t memory = std::min(kMaxRingMemory, kCaptureMemory / std::max<size_t>(workers, 1));
  const auto slots = static_cast<uint32_t>(
      std::min<size_t>(kMaxSlots, memory / (sizeof(CaptureRing::Slot) + snap + 64)));
  for (size_t i = 0; i < workers; ++i) {
    rings_.push_back(std::make_unique<CaptureRing>(options.filter, !options.payload, snap, slots));
  }
  for (size_t i = 0; i < workers; ++i) capture.taps_[i]->Offer(rings_[i].get());
}

CaptureSession::~CaptureSession() {
  Stop();
  const std::lock_guard lock(capture_.mutex_);
  if (capture_.session_ == this) capture_.session_ = nullptr;
}

void CaptureSession::Stop() {
  const std::lock_guard lock(stop_mutex_);
  if (stopped_.load(std::memory_order_relaxed)) return;
  for (CaptureTap* tap : capture_.taps_) tap->Withdraw();
  stopped_.store(true, std::memory_order_release);
}

uint64_t CaptureSession::missed() const {
  uint64_t sum = 0;
  for (const auto& ring : rings_) sum += ring->missed();
  return sum;
}

CaptureRing* CaptureSession::Oldest() const {
  CaptureRing* oldest = nullptr;
  uint64_t tick = UINT64_MAX;
  for (const auto& ring : rings_) {
    const CaptureRing::Slot* slot = ring->Front();
    if (slot == nullptr || slot->tick >= tick) continue;
    oldest = ring.get();
    tick = slot->tick;
  }
  return oldest;
}

CaptureSession::State CaptureSession::Read(std::string& out) {
  if (!began_) {
    began_ = true;
    AppendPcapngSection("sotto-relayd", out);
    const uint32_t snap = options_.payload ? 0 : kCaptureHeadersSize;  // 0: no limit
    for (const PacketCapture::Port& port : capture_.ports_) {
      AppendPcapngInterface(port.name, snap, out);
    }
  }
  // Whether workers had stopped is asked before, so that nothing is left in a ring.
  const CaptureMoment now = capture_.clock_.now();
  if (capture_.NsOf(now.tick - start_.tick) / 1'000'000'000 >= options_.max_seconds) Stop();
  const bool stopped = stopped_.load(std::memory_order_acquire);
  while (packets_ < options_.max_packets) {
    CaptureRing* ring = Oldest();
    if (ring == nullptr) {
      if (!stopped) return State::kIdle;
      return capture_.closed_ ? State::kClosed : State::kOver;
    }
    if (out.size() >= kChunkSize) return State::kMore;
    Append(*ring->Front(), out);
    ring->Pop();
    ++packets_;
  }
  Stop();
  return State::kOver;
}

void CaptureSession::Append(const CaptureRing::Slot& slot, std::string& out) const {
  const auto& ports = capture_.ports_;
  const auto port = std::find_if(ports.begin(), ports.end(),
                                 [&](const PacketCapture::Port& p) { return p.id == slot.port; });
  if (port == ports.end()) return;
  const bool dropped = slot.drop != CaptureRing::Slot::kNotDropped;
  const std::string comment =
      dropped ? fmt::format("dropped: {}", Name(static_cast<DropReason>(slot.drop))) : "";
  // A burst may have come just before the clocks were compared.
  const auto ticks = static_cast<int64_t>(slot.tick - start_.tick);
  const uint64_t unix_ns = ticks >= 0
                               ? start_.unix_ns + capture_.NsOf(static_cast<uint64_t>(ticks))
                               : start_.unix_ns - capture_.NsOf(static_cast<uint64_t>(-ticks));
  AppendPcapngPacket({.interface = static_cast<uint32_t>(port - ports.begin()),
                      .unix_ns = unix_ns,
                      .bytes = slot.bytes(),
                      .original_size = slot.original_size,
                      .outbound = slot.direction == CaptureDirection::kSent,
                      .comment = comment},
                     out);
}

PacketCapture::PacketCapture(std::vector<CaptureTap*> taps, std::vector<Port> ports,
                             uint16_t max_frame, Clock clock)
    : taps_(std::move(taps)),
      ports_(std::move(ports)),
      max_frame_(max_frame),
      clock_(std::move(clock)) {}

absl::StatusOr<std::unique_ptr<CaptureSession>> PacketCapture::Start(
    const CaptureOptions& options) {
  const std::lock_guard lock(mutex_);
  if (closed_) return absl::UnavailableError("the relay is stopping");
  // One that is stopped has let go of the workers, and only reads on.
  if (session_ != nullptr && !session_->stopped_.load(std::memory_order_acquire)) {
    return absl::FailedPreconditionError(
        "another capture is running, and the relay runs one at a time; end it, or wait until it "
        "ends");
  }
  std::unique_ptr<CaptureSession> session(new CaptureSession(*this, options));
  session_ = session.get();
  return session;
}

void PacketCapture::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  if (session_ != nullptr) session_->Stop();
}

}  // namespace sotto::dataplane
