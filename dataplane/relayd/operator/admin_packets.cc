// SPDX-License-Identifier: Apache-2.0
// Explain and Capture: packets as the dataplane sees them.
#include <fmt/format.h>

#include "dataplane/relayd/operator/admin_service.h"
#include "dataplane/relayd/operator/allocation_id.h"
#include "dataplane/relayd/operator/capture_stream.h"

namespace sotto::dataplane {
namespace {

namespace api = relay::v1;

constexpr uint32_t kMaxPackets = 1'000'000;
constexpr uint32_t kMaxSeconds = 3600;

std::string_view Message(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

absl::StatusOr<DropReason> DropReasonOf(std::string_view name) {
  if (name == "any") return DropReason::kCount;
  for (size_t i = 0; i < kCountOf<DropReason>; ++i) {
    if (Name(static_cast<DropReason>(i)) == name) return static_cast<DropReason>(i);
  }
  return absl::InvalidArgumentError(
      fmt::format("filter.drop_reason: there is no reason {}; `sottoctl drops --all` lists the "
                  "reasons, and \"any\" matches all",
                  name.substr(0, 64)));
}

// Everything that a filter says, but for the allocation.
absl::StatusOr<CaptureOptions> OptionsOf(const api::CaptureRequest& request) {
  CaptureOptions options;
  const auto bounded = [](std::string_view name, uint32_t value, uint32_t most) {
    return value <= most ? absl::OkStatus()
                         : absl::InvalidArgumentError(
                               fmt::format("{}: {} is more than {}", name, value, most));
  };
  absl::Status status = bounded("max_packets", request.max_packets(), kMaxPackets);
  if (status.ok()) status = bounded("max_seconds", request.max_seconds(), kMaxSeconds);
  const api::CaptureRequest::Filter& filter = request.filter();
  if (status.ok()) status = bounded("filter.udp_port", filter.udp_port(), UINT16_MAX);
  if (!status.ok()) return status;
  if (request.max_packets() != 0) options.max_packets = request.max_packets();
  if (request.max_seconds() != 0) options.max_seconds = request.max_seconds();
  options.payload = request.payload();

  options.filter.udp_port = static_cast<uint16_t>(filter.udp_port());
  if (!filter.host().empty()) {
    const auto prefix = IpPrefix::Parse(filter.host());
    if (!prefix.ok()) {
      return absl::InvalidArgumentError(fmt::format("filter.host: {}", Message(prefix.status())));
    }
    options.filter.host.Set(*prefix);
  }
  if (!filter.drop_reason().empty()) {
    const absl::StatusOr<DropReason> reason = DropReasonOf(filter.drop_reason());
    if (!reason.ok()) return reason.status();
    options.filter.dropped = *reason;
  }
  switch (filter.direction()) {
    case api::CaptureRequest::Filter::DIRECTION_ANY:
      break;
    case api::CaptureRequest::Filter::DIRECTION_RX:
      options.filter.sent = false;
      break;
    case api::CaptureRequest::Filter::DIRECTION_TX:
      options.filter.received = false;
      break;
    default:
      return absl::InvalidArgumentError("filter.direction: must be rx, tx or any");
  }
  return options;
}

// From or to the client of the allocation, by its transport address.
absl::Status AddAllocation(const relay::Server& server, uint64_t id, CaptureFilter& filter) {
  bool found = false;
  server.ForEachAllocation(LegIdOf(id), 1, false, [&](const relay::AllocationInfo& info) {
    if (OperatorId(info) != id) return;
    found = true;
    const IpAddress& ip = info.path.client.ip;
    filter.client.Set(IpPrefix(ip, ip.is_v4() ? 32 : 128));
    filter.client_port = info.path.client.port;
  });
  if (found) return absl::OkStatus();
  return absl::NotFoundError(fmt::format("filter.allocation: there is no allocation {}", id));
}

void Fill(const Explanation& explanation, api::Explanation& out) {
  const auto text = [](std::string_view view) { return std::string(view); };
  for (const Explanation::Step& step : explanation.steps) {
    api::Explanation::Step& added = *out.add_steps();
    added.set_what(text(step.what));
    added.set_text(step.text);
  }
  out.set_verdict(text(VerdictName(explanation.verdict)));
  if (explanation.path) out.set_path(text(Name(*explanation.path)));
  if (explanation.drop_reason) out.set_drop_reason(text(Name(*explanation.drop_reason)));
  out.set_frame(explanation.frame.data(), explanation.frame.size());
  out.set_port(explanation.port);
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::Explain(Context* context,
                                                const api::ExplainRequest* request,
                                                api::Explanation* response) {
  return requests_.Do(context, [=, this](relay::Server& server, const Now& now) {
    const auto name_of = [&server](relay::LegId leg) {
      uint64_t id = 0;
      server.ForEachAllocation(leg, 1, false,
                               [&](const relay::AllocationInfo& info) { id = OperatorId(info); });
      return fmt::format("allocation {}", id);
    };
    const std::string& bytes = request->frame();
    const std::span<const uint8_t> frame(reinterpret_cast<const uint8_t*>(bytes.data()),
                                         bytes.size());
    const absl::StatusOr<Explanation> explanation =
        explainer_.Explain(frame, request->port(), now.monotonic_ms, name_of);
    if (!explanation.ok()) return explanation.status();
    Fill(*explanation, *response);
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<api::CaptureChunk>* AdminService::Capture(
    Context*, const api::CaptureRequest* request) {
  auto* stream = new CaptureStream(capture_);
  absl::StatusOr<CaptureOptions> options = OptionsOf(*request);
  const uint64_t allocation = request->filter().allocation();
  if (!options.ok() || allocation == 0) {
    stream->Begin(options);
  } else if (!requests_.tasks().Post([this, stream, allocation, options = *std::move(options)](
                                         relay::Server& server, const Now&) mutable {
               const absl::Status status = AddAllocation(server, allocation, options.filter);
               requests_.run_in_grpc()([stream, status, options = std::move(options)] {
                 if (status.ok()) {
                   stream->Begin(options);
                 } else {
                   stream->Begin(status);
                 }
               });
             })) {
    stream->Finish(requests_.Unavailable());
  }
  return stream;
}

}  // namespace sotto::dataplane
