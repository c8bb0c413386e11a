// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <optional>
#include <ostream>
#include <span>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command.h"
#include "tools/sottoctl/units.h"
#include "tools/sottoctl/waiting.h"

namespace sotto::tools {
namespace {

using relay::v1::Status;

constexpr Column kColumns[] = {{"State", "state"},
                               {"Allocations", "allocations", Unit::kCount},
                               {"Calls", "calls", Unit::kCount},
                               {"Drain ends in", "drain_deadline_s", Unit::kSeconds}};

void Print(CommandContext& context, const Status& status) {
  const std::span<const Column> columns(kColumns);
  context.out.Record(status, status.drain_deadline_s() == 0 ? columns.first(3) : columns);
}

absl::StatusOr<Status> WaitUntilDrained(CommandContext& context, Status status) {
  uint32_t told = UINT32_MAX;
  while (status.state() == Status::STATE_DRAINING) {
    if (status.allocations() != told) {
      told = status.allocations();
      context.around.err << fmt::format("sottoctl: {} allocations remain\n", FormatCount(told))
                         << std::flush;
    }
    if (!WaitUnlessStopped(std::chrono::seconds(1), context.around.stop)) {
      return absl::CancelledError(
          "interrupted; the relay continues to drain (sottoctl undrain ends that)");
    }
    auto next = context.daemon->Call<Status>("Admin.GetStatus", relay::v1::GetStatusRequest());
    if (!next.ok()) return next.status();
    status = *std::move(next);
  }
  if (status.state() != Status::STATE_DRAINED) {
    return absl::AbortedError(
        "the drain was ended by another operator, and the relay accepts allocations again");
  }
  return status;
}

absl::Status Drain(CommandContext& context, std::optional<uint64_t> deadline_s, bool wait) {
  relay::v1::DrainRequest request;
  if (deadline_s) request.set_deadline_s(*deadline_s);
  auto status = context.daemon->Call<Status>("Admin.Drain", request);
  if (status.ok() && wait) status = WaitUntilDrained(context, *std::move(status));
  if (!status.ok()) return status.status();
  Print(context, *status);
  return absl::OkStatus();
}

absl::Status Undrain(CommandContext& context) {
  const auto status = context.daemon->Call<Status>("Admin.Undrain", relay::v1::UndrainRequest());
  if (!status.ok()) return status.status();
  Print(context, *status);
  return absl::OkStatus();
}

}  // namespace

void AddDrain(Commands& commands) {
  const auto deadline_s = std::make_shared<std::optional<uint64_t>>();
  const auto wait = std::make_shared<bool>(false);
  CLI::App& drain = commands.Add(
      "drain", "Drains the relay: it accepts no new allocations, and existing ones continue",
      kRelayHeading, DaemonKind::kRelay,
      [deadline_s, wait](CommandContext& context) { return Drain(context, *deadline_s, *wait); });
  AddSeconds(
      drain, "--deadline", [deadline_s](uint64_t s) { *deadline_s = s; },
      "Ends the remaining allocations after this time; 0: never. Default: the deadline of a "
      "running drain, or never");
  AddFlag(drain, "--wait", *wait, "Waits until no allocation is left");
  SetFooter(
      drain,
      "New clients are answered 508, or 300 with another relay if [turn] alternates names one.");
  commands.Add("undrain", "Ends a drain: the relay accepts new allocations again", kRelayHeading,
               DaemonKind::kRelay, Undrain);
}

}  // namespace sotto::tools
