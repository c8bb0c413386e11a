// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "dataplane/eal/eal.h"

namespace sotto::dataplane {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr uint64_t kPlenty = 4096;

EalPlan Plan(std::vector<std::string> args, Machine machine, uint16_t workers = 1) {
  const auto plan =
      PlanEal({.args = std::move(args), .workers = workers, .memory_mb = 512}, machine);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *plan : EalPlan{};
}

TEST(EalPlan, WithoutArgumentsNeedsNeitherNicNorHugepages) {
  EXPECT_THAT(Plan({}, {.cpus = {0, 1}}).argv,
              ElementsAre("sotto-relayd", "--no-pci", "--no-telemetry", "--lcores=0@0,1@1",
                          "--no-huge", "--no-shconf", "-m", "512"));
}

TEST(EalPlan, UsesHugepagesWithoutSharedFilesWhereThereAreEnough) {
  const EalPlan plan = Plan({"--no-pci"}, {.cpus = {0, 1}, .free_hugepage_mb = kPlenty});
  EXPECT_THAT(plan.argv, ElementsAre("sotto-relayd", "--no-pci", "--no-telemetry",
                                     "--lcores=0@0,1@1", "--in-memory"));
  EXPECT_THAT(plan.notes, IsEmpty());
}

TEST(EalPlan, FallsBackFromInMemoryWithASentence) {
  const EalPlan plan = Plan({"--no-pci", "--in-memory", "--vdev=net_af_packet0,iface=eth1",
                             "--huge-dir", "/mnt/huge", "--socket-mem=512"},
                            {.cpus = {0, 1}, .free_hugepage_mb = 511});
  EXPECT_THAT(plan.argv, ElementsAre("sotto-relayd", "--no-pci", "--vdev=net_af_packet0,iface=eth1",
                                     "--no-telemetry", "--lcores=0@0,1@1", "--no-huge",
                                     "--no-shconf", "-m", "512"));
  EXPECT_THAT(plan.notes, ElementsAre(AllOf(HasSubstr("511 MB are free but 512 MB are needed"),
                                            HasSubstr("vm.nr_hugepages to 256"))));
}

TEST(EalPlan, LeavesAloneWhatTheOperatorDecided) {
  EXPECT_THAT(
      Plan({"--no-huge", "--no-shconf", "-m", "64", "-l0,1", "--telemetry"},
           {.cpus = {0, 1}, .free_hugepage_mb = kPlenty})
          .argv,
      ElementsAre("sotto-relayd", "--no-huge", "--no-shconf", "-m", "64", "-l0,1", "--telemetry"));
  EXPECT_THAT(Plan({"--file-prefix=mine"}, {.cpus = {0, 1}, .free_hugepage_mb = kPlenty}).argv,
              Not(Contains("--in-memory")));
  EXPECT_THAT(Plan({"--no-huge", "-m64"}, {.cpus = {0, 1}}).argv, Not(Contains("-m")));
}

TEST(EalPlan, SpreadsLcoresOverTheCpusOfTheProcess) {
  const auto lcores = [](std::vector<int> cpus, uint16_t workers) {
    const EalPlan plan =
        Plan({"--no-pci"}, {.cpus = std::move(cpus), .free_hugepage_mb = kPlenty}, workers);
    for (const std::string& arg : plan.argv) {
      if (arg.starts_with("--lcores=")) return std::pair(arg, plan.notes.size());
    }
    return std::pair(std::string(), plan.notes.size());
  };
  EXPECT_EQ(lcores({4, 6, 9}, 2), std::pair(std::string("--lcores=0@4,1@6,2@9"), size_t{0}));
  EXPECT_EQ(lcores({0, 1}, 2), std::pair(std::string("--lcores=0@0,1@1,2@0"), size_t{1}));
  EXPECT_EQ(lcores({7}, 1), std::pair(std::string("--lcores=0@7,1@7"), size_t{1}));
}

TEST(EalPlan, RefusesWhatCantWorkForARelay) {
  for (const char* arg : {"--", "--help", "-h", "--proc-type=secondary"}) {
    const auto plan = PlanEal({.args = {arg}}, {.cpus = {0}});
    EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument) << arg;
    EXPECT_THAT(std::string(plan.status().message()), StartsWith("[dataplane] eal_args: "));
  }
}

TEST(Machine, KnowsItsCpus) { EXPECT_THAT(Machine::Detect().cpus, Not(IsEmpty())); }

}  // namespace
}  // namespace sotto::dataplane
