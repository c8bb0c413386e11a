// SPDX-License-Identifier: Apache-2.0
// Whole decisions, in batches of one transaction each: every term, down to SQLite. /file: on a real
// file in $TMPDIR, synced at each commit; /memory: without the disk. The classes are to be alike.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "signaling/decision/decision_fixture.h"

namespace sotto::signaling {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPeople = 10'000;

enum Class : int64_t { kRings, kSilenced, kBlocked, kNobody };

class World {
 public:
  explicit World(bool file) {
    if (file) {
      folder_ = fs::temp_directory_path() / ("sotto_decision_bench." + std::to_string(getpid()));
      fs::create_directory(folder_);
    }
    store_ = OpenSqliteStore({.path = file ? folder_ / "store" : fs::path(":memory:")}).value();
    notices_ = std::make_unique<NoticeBox>(*store_);
    decider_ = std::make_unique<Decider>(
        DeciderOptions{.pair_calls = UINT32_MAX, .standing_silenced = UINT32_MAX}, ServerKey{1},
        *store_, *notices_);
    Require(store_->Begin());
    for (size_t i = 0; i < kPeople; ++i) {
      const AccountId account = Account(NameOf(i));
      Require(store_->PutDevice(account, TestPerson::MakeDevice(i)));
      Require(
          store_->PutEpochKey(account, {.epoch = kTestEpoch, .public_key = key_.Key().public_key}));
      Require(store_->PutSettings(account, {.silence_unknown_callers = true}));
      Require(store_->PutBlock(account, decider_->HashBlock(account, Account("mal")), true));
    }
    Require(store_->PutDevice(Account("mal"), TestPerson::MakeDevice(0)));
    Require(store_->Commit());
  }
  ~World() {
    decider_.reset();
    notices_.reset();
    store_.reset();
    if (!folder_.empty()) fs::remove_all(folder_);
  }

  DecisionRequest Call(Class outcome) {
    const size_t call = ++calls_;
    const size_t recipient = call * 7919 % kPeople;
    const std::string caller = NameOf((recipient + 1 + call % 100) % kPeople);
    return {.call = Id(call),
            .caller = Verified(outcome == kBlocked ? "mal" : caller),
            .recipient = Account(outcome == kNobody ? "nobody" : NameOf(recipient)),
            .token = outcome == kSilenced ? std::nullopt
                                          : std::optional(Issue(NameOf(recipient), call))};
  }
  Decider& decider() { return *decider_; }

 private:
  static void Require(const absl::Status& status) {
    if (!status.ok()) std::abort();
  }
  static std::string NameOf(size_t person) {
    return "person-" + std::to_string(person) + "@example.org";
  }
  // All of them have one key: only what is verified matters.
  Token Issue(const std::string& name, size_t serial) const {
    return *Token::Parse(IssueToken(key_.secret_key(), Account(name), kTestEpoch, Id(serial)));
  }

  const TestPerson key_{"key"};
  fs::path folder_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<NoticeBox> notices_;
  std::unique_ptr<Decider> decider_;
  size_t calls_ = 0;
};

void Decide(benchmark::State& state, bool file) {
  static std::unique_ptr<World> worlds[2];
  std::unique_ptr<World>& world = worlds[file];
  if (world == nullptr) world = std::make_unique<World>(file);
  const auto outcome = static_cast<Class>(state.range(0));
  const auto batch = static_cast<size_t>(state.range(1));
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<DecisionRequest> requests;
    for (size_t i = 0; i < batch; ++i) requests.push_back(world->Call(outcome));
    state.ResumeTiming();
    const auto decided = world->decider().Decide(requests, kTestNow);
    if (!decided.ok() || (*decided)[0].ring != (outcome == kRings)) std::abort();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(batch));
}

void Classes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"class", "batch"})->UseRealTime()->Unit(benchmark::kMicrosecond);
  for (const Class outcome : {kRings, kSilenced, kBlocked, kNobody}) {
    for (const int64_t batch : {1, 64, 256}) benchmark->Args({outcome, batch});
  }
}
BENCHMARK_CAPTURE(Decide, memory, false)->Apply(Classes);
BENCHMARK_CAPTURE(Decide, file, true)->Apply(Classes);

}  // namespace
}  // namespace sotto::signaling
