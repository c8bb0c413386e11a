// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/commands/top_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "tools/sottoctl/commands/counter_math.h"
#include "tools/sottoctl/units.h"

namespace sotto::tools {
namespace {

using Style = ScreenLine::Style;
using Worker = relay::v1::ListWorkersResponse::Worker;

constexpr size_t kOverviewWorkers = 4;
constexpr size_t kDropName = 26;
constexpr size_t kNarrowestMeaning = 20;
constexpr size_t kBar = 20;  // columns of a worker's bar
constexpr std::string_view kKeys =
    " 1 overview  2 drops  3 workers  4 TURN   arrows, PgUp, PgDn   p pause  q quit";

// The text in so many columns: cut, or filled with spaces.
std::string Fit(std::string_view text, size_t columns) {
  std::string out;
  size_t width = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const bool begins = (static_cast<uint8_t>(text[at]) & 0xc0) != 0x80;
    if (begins && width == columns) break;
    width += begins;
    out += text[at];
  }
  out.append(columns - width, ' ');
  return out;
}

std::string Rate(double per_second) { return FormatRate(per_second); }

// The names that matter most come first: by rate, then by count.
void SortByRate(std::vector<NamedRate>& rates) {
  std::stable_sort(rates.begin(), rates.end(), [](const NamedRate& a, const NamedRate& b) {
    return std::pair(a.per_second, a.total) > std::pair(b.per_second, b.total);
  });
}

struct WorkerRate {
  uint32_t index = 0;
  uint32_t lcore = 0;
  double busy = 0;  // 0 to 1
  double rx = 0;
  double tx = 0;
  uint32_t waiting = 0;
  uint32_t capacity = 0;
};

std::vector<WorkerRate> WorkerRates(const TopReading& before, const TopReading& now,
                                    double seconds) {
  std::map<uint32_t, const Worker*> earlier;
  for (const Worker& worker : before.workers.workers()) earlier[worker.index()] = &worker;
  std::vector<WorkerRate> rates;
  for (const Worker& worker : now.workers.workers()) {
    WorkerRate& rate = rates.emplace_back();
    rate.index = worker.index();
    rate.lcore = worker.lcore();
    rate.waiting = worker.requests_waiting();
    rate.capacity = worker.requests_capacity();
    const auto found = earlier.find(worker.index());
    if (found == earlier.end() || seconds <= 0) continue;
    const Worker& was = *found->second;
    const auto grown = [](uint64_t a, uint64_t b) {
      return b > a ? static_cast<double>(b - a) : 0.0;
    };
    const double busy = grown(was.busy_cycles(), worker.busy_cycles());
    const double all = busy + grown(was.idle_cycles(), worker.idle_cycles());
    rate.busy = all > 0 ? busy / all : 0;
    rate.rx = grown(was.rx_packets(), worker.rx_packets()) / seconds;
    rate.tx = grown(was.tx_packets(), worker.tx_packets()) / seconds;
  }
  std::stable_sort(rates.begin(), rates.end(),
                   [](const WorkerRate& a, const WorkerRate& b) { return a.busy > b.busy; });
  return rates;
}

std::string WorkerTitle() {
  return fmt::format("{:>6} {:>5}  {:<{}} {:>5} {:>9} {:>9} {:>8}", "WORKER", "LCORE", "BUSY",
                     kBar + 2, "", "RX PPS", "TX PPS", "WAITING");
}

std::string WorkerLine(const WorkerRate& w) {
  const size_t filled = static_cast<size_t>(w.busy * kBar + 0.5);
  const std::string bar = std::string(filled, '#') + std::string(kBar - filled, ' ');
  return fmt::format("{:>6} {:>5}  [{}] {:>4.0f}% {:>9} {:>9} {:>8}", w.index, w.lcore, bar,
                     100 * w.busy, Rate(w.rx), Rate(w.tx), w.waiting);
}

std::string StateWord(const relay::v1::Status& status) {
  switch (status.state()) {
    case relay::v1::Status::STATE_SERVING:
      return "serving";
    case relay::v1::Status::STATE_DRAINING:
      return status.drain_deadline_s() == 0
                 ? "draining"
                 : fmt::format("draining, ends in {}", FormatDuration(status.drain_deadline_s()));
    case relay::v1::Status::STATE_DRAINED:
      return "drained";
    default:
      return "";
  }
}

std::string PercentileText(const std::vector<relay::v1::LatencyBucket>& latency, double percent) {
  const auto found = PercentileOf(latency, percent);
  if (!found) return "-";
  return (found->above ? "> " : "") + FormatNanoseconds(found->ns);
}

class Page {
 public:
  Page(TopState& state, const Terminal::Size& size) : state_(state), size_(size) {}

  std::vector<ScreenLine> Render();

 private:
  size_t RoomForList() const {  // the last row has the keys
    return size_.rows > lines_.size() + 1 ? size_.rows - lines_.size() - 1 : 0;
  }
  void Add(std::string_view text, Style style = Style::kPlain) {
    if (lines_.size() + 1 < size_.rows) lines_.push_back({std::string(text), style});
  }
  // A list that is longer than the screen is scrolled through.
  void AddList(const std::vector<std::string>& list) {
    const size_t room = RoomForList();
    state_.scroll = std::min(state_.scroll, list.size() > room ? list.size() - room : 0);
    for (size_t i = state_.scroll; i < list.size() && i < state_.scroll + room; ++i) Add(list[i]);
  }

  void Head();
  void Traffic();
  void Overview();
  void Drops();
  void Workers();
  void Turn();

  TopState& state_;
  const Terminal::Size size_;
  std::vector<ScreenLine> lines_;
  std::optional<CounterRates> rates_;
};

void Page::Head() {
  const relay::v1::Status& status = state_.now->status;
  Add(fmt::format("sotto-relayd {}  {}  up {}  policy {}  realm {}{}", Printable(status.version()),
                  StateWord(status), FormatDuration(status.uptime_s()), Printable(status.policy()),
                  Printable(status.realm()), state_.paused ? "  (paused)" : ""),
      Style::kTitle);
  Add(fmt::format("Allocations {} of {}   calls {}, {} armed   relayed ports {}",
                  FormatCount(status.allocations()), FormatCount(status.max_allocations()),
                  FormatCount(status.calls()), FormatCount(status.armed_calls()),
                  FormatCount(status.relayed_ports_in_use())));
  if (!state_.trouble.empty()) Add(Printable(state_.trouble), Style::kTrouble);
  Add("");
}

void Page::Traffic() {
  const auto row = [this](std::string_view left, std::string_view right) {
    Add(Fit(left, 40) + std::string(right));
  };
  const auto& latency = rates_->latency;
  Add(Fit(fmt::format("{:<10}{:>12}{:>12}", "", "PACKETS/S", "BITS/S"), 40) +
          "LATENCY IN THE RELAY",
      Style::kTitle);
  row(fmt::format("{:<10}{:>12}{:>12}", "Received", Rate(rates_->rx_packets),
                  Rate(8 * rates_->rx_bytes)),
      fmt::format("p50 {:<12} p90   {}", PercentileText(latency, 50), PercentileText(latency, 90)));
  row(fmt::format("{:<10}{:>12}{:>12}", "Sent", Rate(rates_->tx_packets),
                  Rate(8 * rates_->tx_bytes)),
      fmt::format("p99 {:<12} p99.9 {}", PercentileText(latency, 99),
                  PercentileText(latency, 99.9)));
  Add(fmt::format("{:<10}{:>12}", "Dropped", Rate(rates_->dropped)));
  Add("");
}

void Page::Overview() {
  Traffic();
  const auto workers = WorkerRates(*state_.before, *state_.now, rates_->seconds);
  Add(WorkerTitle(), Style::kTitle);
  const size_t shown = workers.size() <= kOverviewWorkers ? workers.size() : kOverviewWorkers - 1;
  for (size_t i = 0; i < shown; ++i) Add(WorkerLine(workers[i]));
  if (shown < workers.size()) {
    Add(fmt::format("{:>6} more workers: press 3", workers.size() - shown));
  }
  Add("");
  // Paths on the left, drops on the right; what counts nothing is left out.
  const size_t half = size_.columns / 2;
  const auto column = [](std::vector<NamedRate> rates) {
    SortByRate(rates);
    std::erase_if(rates, [](const NamedRate& rate) { return rate.total == 0; });
    return rates;
  };
  const auto paths = column(rates_->paths), drops = column(rates_->drops);
  const auto cell = [&](const std::vector<NamedRate>& rates, size_t i) {
    if (i >= rates.size()) return std::string();
    return fmt::format("{} {:>9}", Fit(Printable(rates[i].name), half > 14 ? half - 14 : 0),
                       Rate(rates[i].per_second));
  };
  Add(Fit(fmt::format("{} {:>9}", Fit("PATH", half > 14 ? half - 14 : 0), "PPS"), half) +
          fmt::format("{} {:>9}", Fit("DROPPED", half > 14 ? half - 14 : 0), "PPS"),
      Style::kTitle);
  std::vector<std::string> list;
  for (size_t i = 0; i < std::max(paths.size(), drops.size()); ++i) {
    list.push_back(Fit(cell(paths, i), half) + cell(drops, i));
  }
  AddList(list);
}

void Page::Drops() {
  auto drops = rates_->drops;
  SortByRate(drops);
  Add(fmt::format("{:<{}}{:>9}{:>14}  {}", "DROPPED BECAUSE", kDropName, "PPS", "PACKETS",
                  "MEANING"),
      Style::kTitle);
  std::vector<std::string> list;
  for (const NamedRate& drop : drops) {
    const std::string entry = fmt::format("{}{:>9}{:>14}  ", Fit(Printable(drop.name), kDropName),
                                          Rate(drop.per_second), FormatCount(drop.total));
    const std::string meaning = Printable(drop.sentence);
    if (drop.total == 0 || size_.columns < entry.size() + kNarrowestMeaning) {
      list.push_back(entry + meaning);
      continue;
    }
    // What did happen is told in full.
    std::istringstream lines(entry + Wrap(meaning, size_.columns, entry.size()));
    for (std::string line; std::getline(lines, line);) list.push_back(line);
  }
  AddList(list);
}

void Page::Workers() {
  Add(WorkerTitle(), Style::kTitle);
  std::vector<std::string> list;
  for (const WorkerRate& worker : WorkerRates(*state_.before, *state_.now, rates_->seconds)) {
    list.push_back(WorkerLine(worker));
  }
  AddList(list);
}

void Page::Turn() {
  Add(fmt::format("{:<36}{:>10}{:>16}", "TURN SERVER", "A SECOND", "COUNT"), Style::kTitle);
  std::vector<std::string> list;
  const auto add = [&list](std::string_view what, std::vector<NamedRate> rates) {
    for (const NamedRate& rate : rates) {
      list.push_back(fmt::format("{}{:>10}{:>16}",
                                 Fit(fmt::format("{}{}", what, Printable(rate.name)), 36),
                                 Rate(rate.per_second), FormatCount(rate.total)));
    }
  };
  add("", rates_->turn);
  auto refusals = rates_->refusals, errors = rates_->error_responses, discards = rates_->discards;
  SortByRate(refusals);
  SortByRate(errors);
  SortByRate(discards);
  add("refused ", refusals);
  add("error response ", errors);
  add("discarded ", discards);
  AddList(list);
}

std::vector<ScreenLine> Page::Render() {
  if (state_.now) Head();
  if (state_.now && state_.before) {
    rates_ = RatesBetween(state_.before->counters, state_.now->counters);
  }
  if (!state_.now) {
    Add(state_.trouble.empty() ? "Waiting for sotto-relayd" : Printable(state_.trouble),
        state_.trouble.empty() ? Style::kPlain : Style::kTrouble);
  } else if (!rates_) {
    Add("Rates need two measurements; waiting for the second one.");
  } else {
    switch (state_.page) {
      case TopPage::kOverview:
        Overview();
        break;
      case TopPage::kDrops:
        Drops();
        break;
      case TopPage::kWorkers:
        Workers();
        break;
      case TopPage::kTurn:
        Turn();
        break;
    }
  }
  while (lines_.size() + 1 < size_.rows) lines_.push_back({});
  for (ScreenLine& line : lines_) {
    line.text = Fit(line.text, size_.columns);
    line.text.erase(line.text.find_last_not_of(' ') + 1);
  }
  lines_.push_back({Fit(kKeys, size_.columns), Style::kBar});
  return lines_;
}

}  // namespace

std::vector<ScreenLine> RenderTop(TopState& state, const Terminal::Size& size) {
  return Page(state, size).Render();
}

}  // namespace sotto::tools
