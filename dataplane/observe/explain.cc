// SPDX-License-Identifier: Apache-2.0
#include "dataplane/observe/explain.h"

#include <fmt/format.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <memory>

#include "dataplane/observe/explain_steps.h"
#include "relay/base/random.h"

namespace sotto::dataplane {
namespace {

struct FreeMbuf {
  void operator()(rte_mbuf* mbuf) const { rte_pktmbuf_free(mbuf); }
};
using OwnedMbuf = std::unique_ptr<rte_mbuf, FreeMbuf>;

// The workers' budgets are their own: here nobody has sent anything before.
ForwarderOptions Unlimited() {
  constexpr uint32_t kEnough = 1'000'000'000;
  ForwarderOptions options;
  options.budgets = {kEnough, kEnough, kEnough, kEnough};
  options.spend_rates = false;
  Random().Fill(options.random_key);
  return options;
}

absl::StatusOr<uint16_t> FindPort(const InterfaceTable& interfaces, std::string_view name) {
  std::string names;
  for (size_t i = 0; i < interfaces.size(); ++i) {
    const Interface& interface = interfaces.at(static_cast<InterfaceId>(i));
    if (name.empty() || interface.name == name) return interface.port;
    // A port with VLANs has several interfaces.
    if (names.find(interface.name) == std::string::npos) {
      names += (names.empty() ? "" : ", ") + interface.name;
    }
  }
  return absl::NotFoundError(
      fmt::format("there is no port {}; the relay has {}", name.substr(0, 64), names));
}

template <size_t kSize>
std::array<uint64_t, kSize> Read(const std::array<Counter, kSize>& counters) {
  std::array<uint64_t, kSize> values;
  std::transform(counters.begin(), counters.end(), values.begin(),
                 [](const Counter& counter) { return counter.Read(); });
  return values;
}

// The name of the counter that has counted since.
template <typename Enum, size_t kSize>
std::optional<Enum> Counted(const std::array<Counter, kSize>& counters,
                            const std::array<uint64_t, kSize>& before) {
  for (size_t i = 0; i < kSize; ++i) {
    if (counters[i].Read() != before[i]) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

}  // namespace

Explainer::Explainer(const ForwarderContext& context, rte_mempool* pool)
    : context_(context), pool_(pool), forwarder_(context, Unlimited(), counters_) {}

absl::StatusOr<Explanation> Explainer::Explain(std::span<const uint8_t> frame,
                                               std::string_view port, uint64_t now_ms,
                                               const LegName& leg_name) {
  const absl::StatusOr<uint16_t> port_id = FindPort(context_.interfaces, port);
  if (!port_id.ok()) return port_id.status();
  const size_t room = rte_pktmbuf_data_room_size(pool_) - size_t{RTE_PKTMBUF_HEADROOM};
  if (frame.size() > room) {
    return absl::InvalidArgumentError(fmt::format(
        "the frame has {} bytes, and no port of the relay accepts more than {}; give one frame, "
        "starting with its Ethernet header",
        frame.size(), room));
  }
  rte_mbuf* mbuf = rte_pktmbuf_alloc(pool_);
  if (mbuf == nullptr) {
    return absl::ResourceExhaustedError("all packet buffers are in use; raise [dataplane] mbufs");
  }
  mbuf->port = *port_id;
  std::copy(
      frame.begin(), frame.end(),
      reinterpret_cast<uint8_t*>(rte_pktmbuf_append(mbuf, static_cast<uint16_t>(frame.size()))));

  const auto paths = Read(counters_.paths);
  const auto drops = Read(counters_.drops);
  forwarder_.Process(&mbuf, 1, now_ms);
  OwnedMbuf punted, sent;
  for (rte_mbuf* punt : forwarder_.punts()) punted.reset(punt);
  forwarder_.punts().clear();
  for (std::vector<rte_mbuf*>& queue : forwarder_.transmit()) {
    for (rte_mbuf* out : queue) sent.reset(out);
    queue.clear();
  }

  Explanation explanation;
  Outcome outcome{.punt = punted ? &NoteOf(punted.get()) : nullptr};
  explanation.drop_reason = Counted<DropReason>(counters_.drops, drops);
  if (!explanation.drop_reason) explanation.path = Counted<PacketPath>(counters_.paths, paths);
  if (const rte_mbuf* out = sent ? sent.get() : punted.get()) {
    outcome.frame = {rte_pktmbuf_mtod(out, const uint8_t*), out->data_len};
  }
  if (explanation.drop_reason) {
    explanation.verdict = Explanation::Verdict::kDrop;
  } else if (!sent) {
    explanation.verdict = Explanation::Verdict::kControl;
  } else {
    explanation.verdict = explanation.path == PacketPath::kBinding ? Explanation::Verdict::kAnswer
                                                                   : Explanation::Verdict::kForward;
    explanation.frame.assign(outcome.frame.begin(), outcome.frame.end());
    for (size_t i = 0; i < context_.interfaces.size(); ++i) {
      const Interface& interface = context_.interfaces.at(static_cast<InterfaceId>(i));
      if (interface.port == sent->port) explanation.port = interface.name;
    }
  }
  AddSteps(context_, frame, *port_id, now_ms, leg_name, outcome, explanation);
  return explanation;
}

}  // namespace sotto::dataplane
