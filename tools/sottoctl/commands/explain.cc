// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <istream>
#include <nlohmann/json.hpp>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command.h"
#include "tools/sottoctl/commands/capture_file.h"
#include "tools/sottoctl/hex.h"

namespace sotto::tools {
namespace {

using relay::v1::ExplainRequest;
using relay::v1::Explanation;

struct ExplainOptions {
  std::string hex;
  std::string pcap;
  std::string port;
  uint64_t packet = 0;  // 0: all
};

constexpr size_t kMaxHexText = 1 << 20;

void PrintSteps(Output& out, const Json& record) {
  Output::List steps(out, {{"STEP", "what"}, {"WHAT THE DATAPLANE WOULD DO, AND WHY", "text"}});
  for (const Json& step : record["steps"]) steps.Add(step);
}

void PrintVerdict(Output& out, const Json& record) {
  std::vector<Column> columns = {{"Verdict", "verdict"}};
  for (const Column& column : {Column{"Path", "path"},
                               {"Drop reason", "drop_reason"},
                               {"Out of port", "port"},
                               {"Frame", "frame"}}) {
    if (!record[std::string(column.key)].get_ref<const std::string&>().empty()) {
      columns.push_back(column);
    }
  }
  out.Record(record, columns);
}

absl::StatusOr<Explanation> Ask(CommandContext& context, std::string frame,
                                const std::string& port) {
  ExplainRequest request;
  request.set_frame(std::move(frame));
  request.set_port(port);
  return context.daemon->Call<Explanation>("Admin.Explain", request);
}

absl::Status ExplainHex(CommandContext& context, const ExplainOptions& options) {
  std::string text = options.hex;
  if (text == "-") {
    text.resize(kMaxHexText);
    context.around.in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(context.around.in.gcount()));
  }
  auto frame = ParseHex(text);
  if (!frame.ok()) return frame.status();
  const auto explanation = Ask(context, *std::move(frame), options.port);
  if (!explanation.ok()) return explanation.status();
  const Json record = ToJson(*explanation);
  if (context.out.is_table()) {
    PrintSteps(context.out, record);
    context.out.Line("");
  }
  PrintVerdict(context.out, record);
  return absl::OkStatus();
}

absl::Status ExplainCapture(CommandContext& context, const ExplainOptions& options) {
  auto file = CaptureFile::Open(options.pcap);
  if (!file.ok()) return file.status();
  std::optional<Output::List> list;
  if (!context.out.is_table()) list.emplace(context.out, std::vector<Column>());
  bool found = false;
  for (uint64_t number = 1; options.packet == 0 || number <= options.packet; ++number) {
    auto frame = file->Next();
    if (!frame.ok()) return frame.status();
    if (!*frame) break;
    if (options.packet != 0 && number != options.packet) continue;
    found = true;
    const bool cut = (*frame)->original_size > (*frame)->bytes.size();
    // Captures of headers alone are explained by their headers.
    std::string bytes = std::move((*frame)->bytes);
    bytes.resize((*frame)->original_size);
    const auto explanation = Ask(context, std::move(bytes), options.port);
    if (!explanation.ok()) return explanation.status();
    Json record = {{"packet", number}, {"cut", cut}};
    record.update(ToJson(*explanation));
    if (list) {
      list->Add(record);
      continue;
    }
    context.out.Line(fmt::format("{}Packet {}{}", number == 1 || options.packet != 0 ? "" : "\n",
                                 number,
                                 cut ? ", truncated by the capture; the rest is filled with "
                                       "zeros"
                                     : ""));
    PrintSteps(context.out, record);
    record["frame"] = "";  // too much, packet after packet
    PrintVerdict(context.out, record);
  }
  if (!found && options.packet != 0) {
    return absl::NotFoundError(fmt::format("{} has no packet {}", options.pcap, options.packet));
  }
  return absl::OkStatus();
}

}  // namespace

void AddExplain(Commands& commands) {
  const auto options = std::make_shared<ExplainOptions>();
  CLI::App& explain = commands.Add(
      "explain", "Explains what the relay would do with a packet, without sending anything",
      kRelayHeading, DaemonKind::kRelay, [options](CommandContext& context) {
        return options->pcap.empty() ? ExplainHex(context, *options)
                                     : ExplainCapture(context, *options);
      });
  AddText(
      explain, "HEX", "", [options](const auto& v) { options->hex = v; },
      "The frame, starting with its Ethernet header, in hexadecimal; - for standard input");
  AddFile(explain, "--pcap", options->pcap, "Explains the frames of this pcap or pcapng file");
  Excludes(explain, "--pcap", "HEX");
  RequireOneOf(explain, {"HEX", "--pcap"}, "HEX or --pcap");
  AddNumber(
      explain, "--packet", "N", 1, UINT64_MAX, [options](uint64_t n) { options->packet = n; },
      "With --pcap: explains only packet N of the file, counted from 1");
  Needs(explain, "--packet", "--pcap");
  AddText(
      explain, "--port", "NAME", [options](const auto& v) { options->port = v; },
      "The port at which the frame would arrive; default: the first port");
  SetFooter(
      explain,
      "The relay uses its current tables: packets of allocations that ended after a capture are "
      "shown as dropped.\n"
      "  sottoctl capture --filter drop=any --packets 20 --to dropped.pcapng\n"
      "  sottoctl explain --pcap dropped.pcapng");
}

}  // namespace sotto::tools
