// SPDX-License-Identifier: Apache-2.0
// Explanations against the dataplane: every packet of tests/fixtures is explained, and then really
// handled. Both must come to the same end, and the first must leave no trace.
#include "dataplane/observe/explain.h"

#include <gmock/gmock.h>
#include <rte_mempool.h>

#include <cstring>
#include <map>
#include <set>

#include "tests/fixtures/scene.h"

namespace sotto::dataplane {
namespace {

using testing::HasSubstr;
using Verdict = Explanation::Verdict;

std::string NameOf(relay::LegId leg) { return "allocation " + std::to_string(leg); }

// All that workers may read or write, byte by byte.
template <typename Record>
void AppendRecords(const RecordTable<Record>& table, std::string& out) {
  for (RecordNumber number = 1; number <= 64; ++number) {
    out.append(reinterpret_cast<const char*>(table.At(number)), sizeof(Record));
  }
}
std::string Snapshot(const Scene& scene) {
  const Tables& tables = scene.tables();
  std::string all(reinterpret_cast<const char*>(&scene.counters()), sizeof(WorkerCounters));
  AppendRecords(tables.channels(), all);
  AppendRecords(tables.clients(), all);
  AppendRecords(tables.permissions(), all);
  return all;
}

// What the worker did with one packet.
struct Handled {
  std::set<std::string> drops;
  std::set<std::string> paths;
  std::vector<std::string> sent;
  std::vector<Scene::Punted> punts;
};
Handled Handle(Scene& scene, const PortAndHex& in) {
  scene.Receive(in, false);
  Handled handled{.drops = {}, .paths = {}, .sent = scene.Sent(), .punts = scene.Punts()};
  for (size_t i = 0; i < kCountOf<DropReason>; ++i) {
    if (scene.counters().drops[i].Read() == 0) continue;
    handled.drops.emplace(Name(static_cast<DropReason>(i)));
  }
  for (size_t i = 0; i < kCountOf<PacketPath>; ++i) {
    if (scene.counters().paths[i].Read() == 0) continue;
    handled.paths.emplace(Name(static_cast<PacketPath>(i)));
  }
  return handled;
}

// "PORT HEX" without what is random: IPv4's id with its checksum, and what `pattern` has as '?'
// (transaction ids).
std::string Masked(std::string sent, const std::string& pattern) {
  for (size_t i = 0; i < std::min(sent.size(), pattern.size()); ++i) {
    if (pattern[i] == '?') sent[i] = '?';
  }
  const size_t ip = sent.compare(2 + 24, 4, "8100") == 0 ? 2 + 36 : 2 + 28;
  if (sent[ip] != '4') return sent;
  return sent.replace(ip + 8, 4, "????").replace(ip + 20, 4, "????");
}

void ExpectSame(const Explanation& explained, const Handled& handled, const Fixture& fixture) {
  switch (explained.verdict) {
    case Verdict::kDrop:
      ASSERT_TRUE(explained.drop_reason.has_value());
      EXPECT_THAT(handled.drops, testing::ElementsAre(std::string(Name(*explained.drop_reason))));
      EXPECT_EQ(explained.path, std::nullopt);
      break;
    case Verdict::kControl:
      EXPECT_TRUE(handled.drops.empty());
      ASSERT_EQ(handled.punts.size(), 1u);
      EXPECT_TRUE(explained.frame.empty());
      break;
    case Verdict::kForward:
    case Verdict::kAnswer: {
      EXPECT_EQ(explained.verdict == Verdict::kAnswer, handled.paths.contains("binding"));
      EXPECT_TRUE(handled.drops.empty());
      ASSERT_EQ(handled.sent.size(), 1u);
      const std::string port = explained.port == "ring0" ? "0 " : "1 ";
      const auto out = fixture.find("out");
      const std::string pattern = out == fixture.end() ? "" : out->second;
      EXPECT_EQ(Masked(port + ToHex(explained.frame), pattern), Masked(handled.sent[0], pattern));
      break;
    }
  }
  if (explained.path) {
    EXPECT_THAT(handled.paths, testing::ElementsAre(std::string(Name(*explained.path))));
  }
}

// Where each reason is found: the step before the verdict.
std::string_view StepOf(DropReason reason) {
  switch (reason) {
    case DropReason::kPortClosed:
    case DropReason::kChannelUnbound:
    case DropReason::kClientUnknown:
    case DropReason::kPeerIsRelay:
      return "look up";
    case DropReason::kNotStunNorChannelData:
    case DropReason::kChannelDataMalformed:
    case DropReason::kStunMalformed:
    case DropReason::kStunUnexpected:
    case DropReason::kSendMalformed:
    case DropReason::kUdpBadChecksum:
      return "classify";
    case DropReason::kPeerNoPermission:
    case DropReason::kSendNoPermission:
    case DropReason::kCallNotConnected:
      return "permission";
    case DropReason::kAllocationRate:
    case DropReason::kUserRate:
      return "rate";
    case DropReason::kNextHopMissing:
    case DropReason::kTooBig:
      return "next hop";
    default:
      return "parse";
  }
}

void ExpectSteps(const Explanation& explained) {
  std::vector<std::string_view> order = {"parse", "classify", "look up",  "permission",
                                         "rate",  "rewrite",  "next hop", "verdict"};
  auto next = order.begin();
  for (const Explanation::Step& step : explained.steps) {
    EXPECT_THAT(step.text, testing::EndsWith(".")) << step.what;
    // A leg is looked up behind the sender's permission, when it is one of this relay.
    if (step.what == "look up") next = std::min(next, order.begin() + 2);
    next = std::find(next, order.end(), step.what);
    ASSERT_NE(next, order.end()) << step.what << ": " << step.text;
  }
  ASSERT_GE(explained.steps.size(), 2u);
  EXPECT_EQ(explained.steps.front().what, "parse");
  EXPECT_EQ(explained.steps.back().what, "verdict");
  const std::string_view reached = explained.steps[explained.steps.size() - 2].what;
  if (explained.verdict == Verdict::kForward) {
    EXPECT_EQ(reached, "next hop");
  } else if (explained.verdict == Verdict::kAnswer) {
    EXPECT_EQ(reached, "rewrite");
  } else if (explained.drop_reason == DropReason::kPeerFamily) {
    EXPECT_THAT(reached, testing::AnyOf("look up", "permission"));
  } else if (explained.verdict == Verdict::kDrop) {
    EXPECT_EQ(reached, StepOf(*explained.drop_reason));
    EXPECT_THAT(explained.steps.back().text,
                HasSubstr(std::string(Sentence(*explained.drop_reason))));
  }
}

// What one frame can't show.
bool IsOfLoad(const std::string& verdict) {
  static const std::set<std::string> kOfLoad = {
      "drop request_rate_limited",
      "drop answer_budget",
      "drop control_ring_full",
      "drop tx_full",
      "drop no_buffer",        // a frame in two buffers
      "drop allocation_rate",  // RatesAreLookedAtAndNotSpent
      "drop user_rate",
  };
  return kOfLoad.contains(verdict);
}

TEST(ExplainTest, EveryPacketIsExplainedAsItIsHandled) {
  std::set<std::string> shown;
  const std::vector<Fixture> fixtures = LoadFixtures(SOTTO_FIXTURES);
  ASSERT_GT(fixtures.size(), 150u);
  for (const Fixture& fixture : fixtures) {
    SCOPED_TRACE(fixture.at("description"));
    Scene scene;
    Explainer explainer(scene.context(), scene.pool());
    const PortAndHex in = Split(fixture.at("in"));
    const std::string before = Snapshot(scene);
    const uint32_t in_use = rte_mempool_in_use_count(scene.pool());

    const std::vector<uint8_t> frame = FromHex(in.hex);
    const auto explained =
        explainer.Explain(frame, in.port == 0 ? "" : "ring1", Scene::kNow, NameOf);
    ASSERT_TRUE(explained.ok()) << explained.status();
    EXPECT_EQ(Snapshot(scene), before) << "something was counted or changed";
    EXPECT_TRUE(scene.Sent().empty());
    EXPECT_TRUE(scene.Punts().empty());
    EXPECT_EQ(rte_mempool_in_use_count(scene.pool()), in_use) << "a packet buffer leaked";

    ExpectSteps(*explained);
    ExpectSame(*explained, Handle(scene, in), fixture);
    std::string verdict =
        explained->verdict == Verdict::kForward || explained->verdict == Verdict::kAnswer
            ? "forward " + std::string(Name(*explained->path))
        : explained->drop_reason ? "drop " + std::string(Name(*explained->drop_reason))
                                 : "control";
    shown.insert(verdict);
    const std::string& expected = fixture.at("verdict");
    if (expected == "control too_big") {
      EXPECT_EQ(verdict, "drop too_big");
    } else if (expected.starts_with("control")) {
      EXPECT_EQ(verdict, "control");
    } else if (IsOfLoad(expected)) {
      EXPECT_NE(verdict, expected);
    } else {
      EXPECT_EQ(verdict, expected);
    }
    if (HasFailure()) return;
  }
  for (size_t i = 0; i < kCountOf<DropReason>; ++i) {
    const std::string name = "drop " + std::string(Name(static_cast<DropReason>(i)));
    if (IsOfLoad(name) || name == "drop fragment_refused") continue;  // that one is control's
    EXPECT_TRUE(shown.contains(name)) << name;
  }
  for (size_t i = 0; i < kCountOf<PacketPath>; ++i) {
    if (static_cast<PacketPath>(i) == PacketPath::kControl) continue;
    const std::string name = "forward " + std::string(Name(static_cast<PacketPath>(i)));
    EXPECT_TRUE(shown.contains(name)) << name;
  }
}

// The same frame a thousand times: no budget is spent, no buffer kept.
TEST(ExplainTest, AskingOftenChangesNothing) {
  Scene scene;
  Explainer explainer(scene.context(), scene.pool());
  const uint32_t in_use = rte_mempool_in_use_count(scene.pool());
  for (const Fixture& fixture : LoadFixtures(SOTTO_FIXTURES)) {
    if (!IsOfLoad(fixture.at("verdict"))) continue;
    const PortAndHex in = Split(fixture.at("in"));
    const std::vector<uint8_t> frame = FromHex(in.hex);
    std::set<Verdict> verdicts;
    for (int i = 0; i < 1500; ++i) {
      const auto explained = explainer.Explain(frame, "", Scene::kNow, NameOf);
      ASSERT_TRUE(explained.ok());
      verdicts.insert(explained->verdict);
    }
    EXPECT_EQ(verdicts.size(), 1u) << fixture.at("description");
    EXPECT_FALSE(verdicts.contains(Verdict::kDrop)) << fixture.at("description");
  }
  EXPECT_EQ(rte_mempool_in_use_count(scene.pool()), in_use);
}

std::string Told(const Explanation& explained) {
  std::string all;
  for (const Explanation::Step& step : explained.steps) {
    all += std::string(step.what) + ": " + step.text + "\n";
  }
  return all;
}

std::string ToldOf(const char* description) {
  Scene scene;
  Explainer explainer(scene.context(), scene.pool());
  for (const Fixture& fixture : LoadFixtures(SOTTO_FIXTURES)) {
    if (fixture.at("description") != description) continue;
    const PortAndHex in = Split(fixture.at("in"));
    const auto explained =
        explainer.Explain(FromHex(in.hex), in.port == 0 ? "ring0" : "ring1", Scene::kNow, NameOf);
    return explained.ok() ? Told(*explained) : std::string(explained.status().message());
  }
  return "no such packet";
}

TEST(ExplainTest, TheStepsNameWhatWasFound) {
  EXPECT_EQ(
      ToldOf("fused hairpin to a client behind a VLAN of another port"),
      "parse: 86 bytes on ring0: IPv4 and UDP from 198.51.100.10:40001 to 198.51.100.1:3478, 44 "
      "bytes of payload.\n"
      "classify: ChannelData on channel 0x4004, length 40 of the 40 bytes that follow its header.\n"
      "look up: Found channel 0x4004 of 198.51.100.10:40001 at 198.51.100.1:3478, bound by "
      "allocation 1; fused with the other leg's channel 0x4001, which lasts another 60 s.\n"
      "rewrite: From 203.0.113.1:3478 to 203.0.113.40:40004 as ChannelData on channel 0x4001, 44 "
      "bytes of payload, UDP checksum 0x0bb2.\n"
      "next hop: ring1, VLAN 100, to 06:00:cb:00:71:28.\n"
      "verdict: Sent on ring1, counted as fused.\n");
  EXPECT_EQ(
      ToldOf("a next hop that is not resolved yet: control holds the packet"),
      "parse: 118 bytes on ring0: IPv4 and UDP from 198.51.100.10:40001 to 198.51.100.1:3478, 76 "
      "bytes of payload.\n"
      "classify: A Send indication to 198.51.100.99:7000, 40 bytes of data.\n"
      "look up: Found 198.51.100.10:40001 at 198.51.100.1:3478: allocation 1, which lasts another "
      "60 s.\n"
      "permission: Found one for 198.51.100.99, which lasts another 60 s.\n"
      "rewrite: From 198.51.100.1:50001 to 198.51.100.99:7000 as the application's data alone, 40 "
      "bytes of payload, UDP checksum 0x3a73.\n"
      "next hop: ring0, not resolved yet: control holds the packet and asks for the MAC address.\n"
      "verdict: Handed to control.\n");
}

// Of every way in that is metered.
TEST(ExplainTest, RatesAreLookedAtAndNotSpent) {
  std::set<std::string> shown;
  for (const relay::ForwardingRates& rates : {relay::ForwardingRates{.packets_per_leg = 10},
                                              relay::ForwardingRates{.bytes_per_user = 5000}}) {
    for (const Fixture& fixture : LoadFixtures(SOTTO_FIXTURES)) {
      const std::string& verdict = fixture.at("verdict");
      if (!verdict.starts_with("forward") || verdict == "forward binding") continue;
      SCOPED_TRACE(fixture.at("description"));
      Scene scene;
      scene.SetRates(rates);
      Explainer explainer(scene.context(), scene.pool());
      const PortAndHex in = Split(fixture.at("in"));
      const std::vector<uint8_t> frame = FromHex(in.hex);
      const auto ask = [&] {
        return *explainer.Explain(frame, in.port == 0 ? "" : "ring1", Scene::kNow, NameOf);
      };
      for (int i = 0; i < 1000; ++i) ASSERT_EQ(ask().verdict, Verdict::kForward) << i;
      EXPECT_THAT(ask().steps, testing::Contains(testing::Field(&Explanation::Step::what, "rate")));
      for (int i = 0; i < 1000 && Handle(scene, in).drops.empty(); ++i) {
      }
      const Explanation refused = ask();
      ASSERT_EQ(refused.verdict, Verdict::kDrop);
      EXPECT_EQ(Handle(scene, in).drops,
                std::set<std::string>{std::string(Name(*refused.drop_reason))});
      ExpectSteps(refused);
      shown.emplace(Name(*refused.drop_reason));
    }
  }
  EXPECT_THAT(shown, testing::ElementsAre("allocation_rate", "user_rate"));
}

TEST(ExplainTest, WhatIsNoQuestionIsRefused) {
  Scene scene;
  Explainer explainer(scene.context(), scene.pool());
  const std::vector<uint8_t> frame(60);
  const auto unknown = explainer.Explain(frame, "ring7", Scene::kNow, NameOf);
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(unknown.status().message()), HasSubstr("the relay has ring0, ring1"));
  const std::vector<uint8_t> long_frame(RTE_MBUF_DEFAULT_DATAROOM + 1);
  EXPECT_EQ(explainer.Explain(long_frame, "", Scene::kNow, NameOf).status().code(),
            absl::StatusCode::kInvalidArgument);
  // Every buffer taken.
  std::vector<rte_mbuf*> taken;
  for (rte_mbuf* mbuf; (mbuf = rte_pktmbuf_alloc(scene.pool())) != nullptr;) taken.push_back(mbuf);
  EXPECT_EQ(explainer.Explain(frame, "", Scene::kNow, NameOf).status().code(),
            absl::StatusCode::kResourceExhausted);
  for (rte_mbuf* mbuf : taken) rte_pktmbuf_free(mbuf);
  EXPECT_TRUE(explainer.Explain({}, "", Scene::kNow, NameOf).ok());
}

}  // namespace
}  // namespace sotto::dataplane
