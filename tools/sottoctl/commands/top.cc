// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <atomic>
#include <future>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command.h"
#include "tools/sottoctl/commands/top_view.h"
#include "tools/sottoctl/terminal.h"
#include "tools/sottoctl/waiting.h"

namespace sotto::tools {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// A daemon that is well answers within this time; one that takes longer is looked after each kLook,
// and told of after kSilence.
constexpr milliseconds kSoon(20);
constexpr milliseconds kLook(100);
constexpr milliseconds kSilence(2000);

absl::StatusOr<TopReading> Read(const DaemonClient& daemon) {
  TopReading reading;
  auto status = daemon.Call<relay::v1::Status>("Admin.GetStatus", relay::v1::GetStatusRequest());
  if (!status.ok()) return status.status();
  auto counters =
      daemon.Call<relay::v1::Counters>("Admin.GetCounters", relay::v1::GetCountersRequest());
  if (!counters.ok()) return counters.status();
  auto workers = daemon.Call<relay::v1::ListWorkersResponse>("Admin.ListWorkers",
                                                             relay::v1::ListWorkersRequest());
  if (!workers.ok()) return workers.status();
  return TopReading{*std::move(status), *std::move(counters), *std::move(workers)};
}

void Take(TopState& state, absl::StatusOr<TopReading> reading) {
  if (!reading.ok()) {
    state.trouble = std::string(reading.status().message());
    return;
  }
  state.trouble.clear();
  state.before = std::exchange(state.now, *std::move(reading));
}

// False: that was the key to quit.
bool Press(TopState& state, const Key& key, size_t page_rows) {
  const auto up = [&state](size_t n) { state.scroll -= std::min(state.scroll, n); };
  switch (key.kind) {
    case Key::Kind::kUp:
      up(1);
      return true;
    case Key::Kind::kDown:
      ++state.scroll;
      return true;
    case Key::Kind::kPageUp:
      up(page_rows);
      return true;
    case Key::Kind::kPageDown:
      state.scroll += page_rows;
      return true;
    case Key::Kind::kHome:
      state.scroll = 0;
      return true;
    case Key::Kind::kEnd:
      state.scroll = SIZE_MAX / 2;
      return true;
    case Key::Kind::kOther:
      return true;
    case Key::Kind::kCharacter:
      break;
  }
  if (key.character >= '1' && key.character <= '4') {
    state.page = static_cast<TopPage>(key.character - '1');
    state.scroll = 0;
  }
  if (key.character == 'p' || key.character == ' ') state.paused = !state.paused;
  return key.character != 'q' && key.character != 'Q';
}

absl::Status Top(CommandContext& context, milliseconds interval) {
  TopState state;
  // Before the screen is taken: a daemon that isn't there is told of as by any other command.
  auto first = Read(*context.daemon);
  if (!first.ok()) return first.status();
  Take(state, std::move(first));
  // Later ones are taken on another thread, so that a daemon that hangs doesn't keep the keyboard
  // from being heard; who leaves gives up the one that is awaited.
  std::atomic<bool> leaving = false;
  const auto daemon = DaemonClient::Make(context.daemon->target(), leaving);
  if (!daemon.ok()) return daemon.status();
  std::future<absl::StatusOr<TopReading>> reading;
  Clock::time_point asked;
  auto terminal = Terminal::Open(context.out.options().color);
  if (!terminal.ok()) return terminal.status();
  auto next = Clock::now() + interval;
  while (!context.around.stop) {
    const Terminal::Size size = terminal->size();
    terminal->Draw(RenderTop(state, size));
    const auto left = std::chrono::ceil<milliseconds>(next - Clock::now());
    const auto key = terminal->ReadKey(reading.valid() ? kLook : std::max(left, milliseconds(0)));
    if (key && !Press(state, *key, size.rows / 2)) break;
    if (Clock::now() >= next && !reading.valid()) {
      asked = Clock::now();
      next = asked + interval;
      if (!state.paused) {
        reading = std::async(std::launch::async, [&daemon] { return Read(*daemon); });
      }
    }
    if (!reading.valid()) continue;
    const auto silence = Clock::now() - asked;
    if (reading.wait_for(kSoon) == std::future_status::ready) {
      Take(state, reading.get());
    } else if (silence > kSilence) {
      state.trouble = fmt::format("no answer from sotto-relayd for {} s",
                                  std::chrono::floor<std::chrono::seconds>(silence).count());
    }
  }
  leaving = true;
  return absl::OkStatus();
}

}  // namespace

void AddTop(Commands& commands) {
  const auto interval = std::make_shared<milliseconds>(1000);
  CLI::App& top =
      commands.Add("top", "Shows rates, legs, drops, latency and workers, live on the full screen",
                   kRelayHeading, DaemonKind::kRelay,
                   [interval](CommandContext& context) { return Top(context, *interval); });
  AddInterval(top, [interval](milliseconds value) { *interval = value; });
  SetFooter(
      top,
      "Keys: 1 to 4 choose the page, arrows and PgUp, PgDn scroll, p pauses, q quits. For files "
      "and pipes: sottoctl stats --watch.");
}

}  // namespace sotto::tools
