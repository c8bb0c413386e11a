// SPDX-License-Identifier: Apache-2.0
// Each command about the relay, against a daemon that answers as it is told: what it asks, and what
// it prints as a table and as JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command_fixture.h"

namespace sotto::tools {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kAdmin = "sotto.relay.v1.Admin.";
const std::string kCallControl = "sotto.relay.v1.CallControl.";

relay::v1::TransportAddress Address(std::initializer_list<uint8_t> ip, uint32_t port) {
  relay::v1::TransportAddress address;
  address.set_ip(std::string(ip.begin(), ip.end()));
  address.set_port(port);
  return address;
}

using RelayCommands = CommandTest;

relay::v1::Status ServingStatus() {
  relay::v1::Status status;
  status.set_state(relay::v1::Status::STATE_SERVING);
  status.set_version("1.2.3");
  status.set_uptime_s(93'600);
  status.set_realm("example.org");
  status.set_policy("call");
  *status.add_listen() = Address({192, 0, 2, 10}, 3478);
  *status.add_listen() =
      Address({0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}, 3478);
  status.add_relay_addresses(std::string("\xc0\x00\x02\x0a", 4));
  status.set_allocations(12'345);
  status.set_max_allocations(100'000);
  return status;
}

TEST_F(RelayCommands, StatusSaysWhatTheRelayIs) {
  fake_.Answer(kAdmin + "GetStatus", ServingStatus());
  EXPECT_EQ(Table({"status"}),
            "State          serving\n"
            "Version        1.2.3\n"
            "Uptime         1d 2h\n"
            "Realm          example.org\n"
            "Policy         call\n"
            "Listens at     192.0.2.10:3478, [2001:db8::10]:3478\n"
            "Relays from    192.0.2.10\n"
            "Allocations    12,345\n"
            "Limit          100,000\n"
            "Calls          0\n"
            "Armed calls    0\n"
            "Relayed ports  0\n"
            "Workers        0\n"
            "Ports          0\n"
            "Users          0\n"
            "Secrets        0\n");
  const Json json = InJson({"status"});
  EXPECT_EQ(json["state"], "serving");
  EXPECT_EQ(json["listen"], Json::parse(R"(["192.0.2.10:3478", "[2001:db8::10]:3478"])"));
  EXPECT_EQ(json["relay_addresses"], Json::parse(R"(["192.0.2.10"])"));
  EXPECT_EQ(json["uptime_s"], 93'600);
  EXPECT_EQ(json["calls"], 0) << "fields that aren't set are printed";
}

TEST_F(RelayCommands, RawTablesHavePlainNumbers) {
  fake_.Answer(kAdmin + "GetStatus", ServingStatus());
  EXPECT_THAT(Table({"status", "--raw"}),
              AllOf(HasSubstr("Uptime         93600\n"), HasSubstr("Allocations    12345\n")));
}

relay::v1::Counters SomeCounters() {
  relay::v1::Counters counters;
  counters.set_monotonic_ns(1'000'000'000);
  counters.set_rx_packets(UINT64_MAX);  // beyond what a double, and so most JSON readers, hold
  counters.set_rx_bytes(4096);
  const auto add = [](auto* count, const char* name, uint64_t n, const char* sentence) {
    count->set_name(name);
    count->set_count(n);
    count->set_sentence(sentence);
  };
  add(counters.add_paths(), "fused", 1000, "");
  add(counters.add_drops(), "not_udp", 0, "A transport protocol that the relay does not speak.");
  add(counters.add_drops(), "port_closed", 7, "Late packets, or a scan.");
  add(counters.add_drops(), "tx_full", 41, "The port did not take the packet.");
  add(counters.add_error_responses(), "401", 3, "");
  for (const auto& [upper, packets] :
       {std::pair<uint64_t, uint64_t>{1000, 50}, {2000, 49}, {UINT64_MAX, 1}}) {
    auto* bucket = counters.add_latency();
    bucket->set_upper_ns(upper);
    bucket->set_packets(packets);
  }
  return counters;
}

TEST_F(RelayCommands, StatsCountsSinceTheStart) {
  fake_.Answer(kAdmin + "GetCounters", SomeCounters());
  const std::string table = Table({"stats"});
  EXPECT_THAT(table, HasSubstr("Received       18,446,744,073,709,551,615\n"));
  EXPECT_THAT(table, HasSubstr("Dropped        48\n"));
  EXPECT_THAT(table, HasSubstr("Latency p50    1.00 us\nLatency p90    2.00 us\n"));
  EXPECT_THAT(table, HasSubstr("PATH   COUNT\nfused  1,000\n"));
  EXPECT_THAT(table, HasSubstr("ERROR RESPONSE  COUNT\n401                 3\n"));
  const Json json = InJson({"stats"});
  EXPECT_EQ(json["rx_packets"].get<uint64_t>(), UINT64_MAX);
  EXPECT_EQ(json["percentiles"]["p99_ns"], 2000);
}

TEST_F(RelayCommands, StatsWatchPrintsRates) {
  fake_.Generate(kAdmin + "GetCounters", [this](size_t i) {
    if (i > 0) return std::string();
    relay::v1::Counters counters = SomeCounters();
    const uint64_t n = fake_.calls(kAdmin + "GetCounters");
    counters.set_monotonic_ns(n * 2'000'000'000);
    counters.set_rx_packets(n * 3000);
    return counters.SerializeAsString();
  });
  const Json json = InJson({"stats", "--watch", "--interval", "100ms", "--count", "2"});
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[1]["rx_packets_per_second"], 1500.0);
  EXPECT_EQ(json[1]["seconds"], 2.0);
  EXPECT_TRUE(json[1]["percentiles"]["p50_ns"].is_null()) << "no packet between the two";
  EXPECT_THAT(Table({"stats", "-w", "--interval", "100ms", "--count", "1"}),
              HasSubstr("SECONDS  RX PPS"));
}

TEST_F(RelayCommands, DropsAreSortedAndSayWhatToDo) {
  fake_.Answer(kAdmin + "GetCounters", SomeCounters());
  EXPECT_EQ(Table({"drops"}),
            "REASON       PACKETS  WHAT IT MEANS, AND WHAT TO DO\n"
            "tx_full           41  The port did not take the packet.\n"
            "port_closed        7  Late packets, or a scan.\n");
  EXPECT_EQ(InJson({"drops", "--all"}).size(), 3u);
  EXPECT_EQ(InJson({"drops"})[0]["count"], 41);
}

relay::v1::Allocation AnAllocation(uint64_t id) {
  relay::v1::Allocation allocation;
  allocation.set_id(id);
  allocation.set_user("demo");
  *allocation.mutable_client() = Address({198, 51, 100, 7}, 5000);
  *allocation.add_relayed() = Address({192, 0, 2, 10}, 50'000);
  allocation.set_age_s(61);
  allocation.set_expires_in_s(539);
  allocation.set_permissions(1);
  allocation.set_channels(1);
  return allocation;
}

TEST_F(RelayCommands, AllocationsListAsksForWhatTheOptionsSay) {
  fake_.Answer(kAdmin + "ListAllocations", AnAllocation(1), AnAllocation(22));
  EXPECT_EQ(Table({"allocations", "list", "--user", "demo", "--client", "198.51.100.0/24",
                   "--relayed", "192.0.2.10:50000", "--peer", "2001:db8::1", "--min-age", "1m",
                   "--max-age", "1h30m", "--limit", "5"}),
            "ID  USER  CLIENT             RELAYED             AGE  ENDS IN  PERMS  CHANNELS\n"
            "1   demo  198.51.100.7:5000  192.0.2.10:50000  1m 1s   8m 59s      1         1\n"
            "22  demo  198.51.100.7:5000  192.0.2.10:50000  1m 1s   8m 59s      1         1\n");
  const auto filter = fake_.Last<relay::v1::AllocationFilter>(kAdmin + "ListAllocations");
  EXPECT_EQ(filter.user(), "demo");
  EXPECT_EQ(filter.client(), "198.51.100.0/24");
  EXPECT_EQ(filter.relayed(), "192.0.2.10:50000");
  EXPECT_EQ(filter.peer(), "2001:db8::1");
  EXPECT_EQ(filter.min_age_s(), 60u);
  EXPECT_EQ(filter.max_age_s(), 5400u);
  EXPECT_EQ(filter.limit(), 5u);
  EXPECT_FALSE(filter.details());
  const Json json = InJson({"allocations", "list", "--details"});
  EXPECT_TRUE(fake_.Last<relay::v1::AllocationFilter>(kAdmin + "ListAllocations").details());
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[1]["id"], 22);
  EXPECT_EQ(json[0]["client"], "198.51.100.7:5000");
}

TEST_F(RelayCommands, ANameFromTheNetworkCantCommandTheTerminal) {
  auto allocation = AnAllocation(1);
  allocation.set_user("\033]0;pwned\a\n\xc2\x9b");
  fake_.Answer(kAdmin + "ListAllocations", allocation);
  EXPECT_THAT(Table({"allocations", "list"}), HasSubstr("\\x1b]0;pwned\\x07\\x0a\\xc2\\x9b"));
  EXPECT_EQ(InJson({"allocations", "list"})[0]["user"], allocation.user());
}

TEST_F(RelayCommands, AllocationsShowHasPermissionsAndChannels) {
  auto allocation = AnAllocation(7);
  auto* permission = allocation.add_permission();
  permission->set_ip(std::string("\xc0\x00\x02\x14", 4));
  permission->set_expires_in_s(200);
  auto* channel = allocation.add_channel();
  channel->set_number(0x4001);
  *channel->mutable_peer() = Address({192, 0, 2, 20}, 6000);
  channel->set_expires_in_s(500);
  channel->set_fused(true);
  fake_.Answer(kAdmin + "ListAllocations", allocation);
  const std::string table = Table({"allocations", "show", "7"});
  EXPECT_THAT(table, HasSubstr("PERMISSION  ENDS IN\n192.0.2.20   3m 20s\n"));
  EXPECT_THAT(table, HasSubstr("CHANNEL  PEER             FUSED  ENDS IN\n"
                               "0x4001   192.0.2.20:6000  yes     8m 20s\n"));
  const auto filter = fake_.Last<relay::v1::AllocationFilter>(kAdmin + "ListAllocations");
  EXPECT_EQ(filter.id(), 7u);
  EXPECT_TRUE(filter.details());
  EXPECT_EQ(InJson({"allocations", "show", "7"})["channel"][0]["peer"], "192.0.2.20:6000");
}

TEST_F(RelayCommands, WhatIsntThereHasAnExitCodeOfItsOwn) {
  fake_.Answer(kAdmin + "ListAllocations");
  const Ran show = Run({"allocations", "show", "7"});
  EXPECT_EQ(show.code, kExitNotFound);
  EXPECT_THAT(show.err, StartsWith("sottoctl: there is no allocation 7"));
  fake_.Refuse(kAdmin + "EndAllocation", absl::StatusCode::kNotFound, "no allocation 7");
  const Ran end = Run({"allocations", "end", "7"});
  EXPECT_EQ(end.code, kExitNotFound);
  EXPECT_EQ(end.err, "sottoctl: no allocation 7\n");
}

TEST_F(RelayCommands, AllocationsEnd) {
  fake_.Answer(kAdmin + "EndAllocation", relay::v1::EndAllocationResponse());
  EXPECT_EQ(Table({"allocations", "end", "18446744073709551615"}),
            "Ended allocation 18446744073709551615.\n");
  EXPECT_EQ(fake_.Last<relay::v1::EndAllocationRequest>(kAdmin + "EndAllocation").id(), UINT64_MAX);
  EXPECT_EQ(InJson({"allocations", "end", "5"}), Json::parse(R"({"id": 5})"));
}

TEST_F(RelayCommands, AllocationsEndByWhatTheyAre) {
  relay::v1::EndAllocationsResponse ended;
  ended.set_ended(1234);
  fake_.Answer(kAdmin + "EndAllocations", ended);
  EXPECT_EQ(Table({"allocations", "end", "--user", "mallory", "--client", "198.51.100.0/24",
                   "--relayed", "192.0.2.10:50000", "--peer", "2001:db8::1", "--min-age", "1m",
                   "--max-age", "1h", "--limit", "2000"}),
            "1234 allocations ended.\n");
  const auto request = [this] {
    return fake_.Last<relay::v1::EndAllocationsRequest>(kAdmin + "EndAllocations");
  };
  const relay::v1::AllocationFilter filter = request().filter();
  EXPECT_EQ(filter.user(), "mallory");
  EXPECT_EQ(filter.client(), "198.51.100.0/24");
  EXPECT_EQ(filter.relayed(), "192.0.2.10:50000");
  EXPECT_EQ(filter.peer(), "2001:db8::1");
  EXPECT_EQ(filter.min_age_s(), 60u);
  EXPECT_EQ(filter.max_age_s(), 3600u);
  EXPECT_EQ(filter.limit(), 2000u);
  EXPECT_EQ(filter.id(), 0u);
  EXPECT_FALSE(request().dry_run());
  EXPECT_EQ(InJson({"allocations", "end", "--user", "x"}), Json::parse(R"({"ended": 1234})"));

  EXPECT_EQ(InJson({"allocations", "end", "--user", "x", "--dry-run"}),
            Json::parse(R"({"would_end": 1234})"));
  EXPECT_TRUE(request().dry_run());
  ended.set_ended(1);
  fake_.Answer(kAdmin + "EndAllocations", ended);
  EXPECT_EQ(Table({"allocations", "end", "--min-age", "1h", "--dry-run"}),
            "1 allocation would be ended.\n");

  fake_.Answer(kAdmin + "EndAllocations", relay::v1::EndAllocationsResponse());
  for (const bool dry_run : {false, true}) {
    std::vector<std::string> arguments = {"allocations", "end", "--user", "nobody"};
    if (dry_run) arguments.push_back("--dry-run");
    const Ran none = Run(arguments);
    EXPECT_EQ(none.code, kExitNotFound);
    EXPECT_EQ(none.err, "sottoctl: no allocation matches\n");
  }
}

TEST_F(RelayCommands, AllocationsEndNeverEndsAllByMistake) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{},
                                                    {"--limit", "5"},
                                                    {"--dry-run"},
                                                    {"7", "--user", "x"},
                                                    {"7", "--min-age", "1h"},
                                                    {"7", "--limit", "5"},
                                                    {"7", "--dry-run"},
                                                    {"0"}}) {
    std::vector<std::string> command = {"allocations", "end"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    EXPECT_EQ(Run(command).code, kExitUsage) << ::testing::PrintToString(arguments);
  }
  EXPECT_THAT(Run({"allocations", "end"}).err, HasSubstr("ID, or --user or another option"));
  EXPECT_EQ(fake_.calls(kAdmin + "EndAllocation") + fake_.calls(kAdmin + "EndAllocations"), 0u);
}

relay::v1::Call ACall() {
  relay::v1::Call call;
  call.set_call("call-1");
  call.set_armed(true);
  auto* leg = call.add_legs();
  leg->set_call("call-1");
  leg->set_side(relay::v1::Leg::SIDE_A);
  *leg->add_relayed() = Address({10, 0, 0, 1}, 50'000);
  call.add_legs()->set_side(relay::v1::Leg::SIDE_B);
  return call;
}

TEST_F(RelayCommands, Calls) {
  fake_.Answer(kAdmin + "ListCalls", ACall());
  EXPECT_EQ(Table({"calls", "list", "--armed", "--call", "call-1", "--limit", "9"}),
            "CALL    ARMED  LEGS  RELAYED\n"
            "call-1  yes    a, b  10.0.0.1:50000\n");
  const auto filter = fake_.Last<relay::v1::CallFilter>(kAdmin + "ListCalls");
  EXPECT_TRUE(filter.armed_only());
  EXPECT_EQ(filter.call(), "call-1");
  EXPECT_EQ(filter.limit(), 9u);
  EXPECT_EQ(InJson({"calls", "list"})[0]["legs"][0]["side"], "a");

  fake_.Answer(kCallControl + "GetCall", ACall());
  EXPECT_THAT(Table({"calls", "show", "call-1"}),
              HasSubstr("LEG  RELAYED\na    10.0.0.1:50000\nb    -\n"));
  EXPECT_EQ(InJson({"calls", "show", "call-1"})["armed"], true);
  fake_.Answer(kAdmin + "EndCall", relay::v1::EndCallResponse());
  EXPECT_EQ(Table({"calls", "end", "call-1"}), "Ended call call-1.\n");
  EXPECT_EQ(fake_.Last<relay::v1::EndCallRequest>(kAdmin + "EndCall").call(), "call-1");
  fake_.Refuse(kCallControl + "GetCall", absl::StatusCode::kNotFound, "no such call");
  EXPECT_EQ(Run({"calls", "show", "call-2"}).code, kExitNotFound);
}

relay::v1::Explanation AnExplanation() {
  relay::v1::Explanation explanation;
  auto* step = explanation.add_steps();
  step->set_what("parse");
  step->set_text("It is IPv4 and UDP.");
  explanation.set_verdict("drop");
  explanation.set_drop_reason("port_closed");
  return explanation;
}

TEST_F(RelayCommands, ExplainTakesHexadecimalAsToolsPrintIt) {
  fake_.Answer(kAdmin + "Explain", AnExplanation());
  EXPECT_EQ(Table({"explain", "02:00 c0FF", "--port", "net_tap0"}),
            "STEP   WHAT THE DATAPLANE WOULD DO, AND WHY\n"
            "parse  It is IPv4 and UDP.\n"
            "\n"
            "Verdict      drop\n"
            "Drop reason  port_closed\n");
  const auto request = fake_.Last<relay::v1::ExplainRequest>(kAdmin + "Explain");
  EXPECT_EQ(request.frame(), std::string("\x02\x00\xc0\xff", 4));
  EXPECT_EQ(request.port(), "net_tap0");
  runner_.input = "0x0102\n0304\n";
  EXPECT_EQ(InJson({"explain", "-"})["drop_reason"], "port_closed");
  EXPECT_EQ(fake_.Last<relay::v1::ExplainRequest>(kAdmin + "Explain").frame(), "\x01\x02\x03\x04");
  const Ran odd = Run({"explain", "012"});
  EXPECT_EQ(odd.code, kExitFailed);
  EXPECT_EQ(odd.err, "sottoctl: an odd number of hexadecimal digits\n");
  EXPECT_EQ(Run({"explain"}).code, kExitUsage);
  EXPECT_EQ(Run({"explain", "00", "--pcap", "x"}).code, kExitUsage);
}

TEST_F(RelayCommands, ExplainReadsCaptures) {
  fake_.Answer(kAdmin + "Explain", AnExplanation());
  const std::string path = ::testing::TempDir() + "/explain_reads_captures.pcap";
  std::ofstream file(path, std::ios::binary);
  const uint32_t header[] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1};
  file.write(reinterpret_cast<const char*>(header), sizeof(header));
  for (const uint32_t original : {4u, 10u}) {
    const uint32_t packet[] = {0, 0, 4, original};
    file.write(reinterpret_cast<const char*>(packet), sizeof(packet));
    file.write("abcd", 4);
  }
  file.close();
  const Json json = InJson({"explain", "--pcap", path});
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[0]["cut"], false);
  EXPECT_EQ(json[1]["cut"], true);
  EXPECT_EQ(json[1]["packet"], 2);
  EXPECT_EQ(fake_.Last<relay::v1::ExplainRequest>(kAdmin + "Explain").frame(),
            std::string("abcd\0\0\0\0\0\0", 10))
      << "zeros stand for what the capture cut";
  EXPECT_THAT(Table({"explain", "--pcap", path, "--packet", "1"}), StartsWith("Packet 1\nSTEP"));
  EXPECT_EQ(fake_.Last<relay::v1::ExplainRequest>(kAdmin + "Explain").frame(), "abcd");
  EXPECT_EQ(Run({"explain", "--pcap", path, "--packet", "3"}).code, kExitNotFound);
  std::filesystem::remove(path);
  EXPECT_THAT(Run({"explain", "--pcap", path}).err, HasSubstr("can't be opened"));
}

TEST_F(RelayCommands, DrainWaitsUntilNoAllocationIsLeft) {
  relay::v1::Status status;
  status.set_state(relay::v1::Status::STATE_DRAINING);
  status.set_drain_deadline_s(5400);
  status.set_allocations(2);
  fake_.Answer(kAdmin + "Drain", status);
  EXPECT_THAT(Table({"drain", "--deadline", "1h30m"}),
              AllOf(HasSubstr("draining"), HasSubstr("1h 30m")));
  EXPECT_EQ(fake_.Last<relay::v1::DrainRequest>(kAdmin + "Drain").deadline_s(), 5400u);

  status.set_state(relay::v1::Status::STATE_DRAINED);
  status.set_allocations(0);
  fake_.Answer(kAdmin + "GetStatus", status);
  const Ran waited = Run({"drain", "--wait", "-o", "json"});
  EXPECT_EQ(waited.code, kExitDone);
  EXPECT_EQ(Json::parse(waited.out)["state"], "drained");
  EXPECT_EQ(waited.err, "sottoctl: 2 allocations remain\n");

  status.set_state(relay::v1::Status::STATE_SERVING);
  fake_.Answer(kAdmin + "GetStatus", status);
  const Ran undone = Run({"drain", "--wait"});
  EXPECT_EQ(undone.code, kExitFailed);
  EXPECT_THAT(undone.err, HasSubstr("the drain was ended by another operator"));

  fake_.Answer(kAdmin + "Undrain", status);
  EXPECT_THAT(Table({"undrain"}), HasSubstr("serving"));
  EXPECT_EQ(InJson({"undrain"})["state"], "serving");
}

TEST_F(RelayCommands, PortsWorkersAndNeighbors) {
  relay::v1::ListPortsResponse ports;
  auto* port = ports.add_ports();
  port->set_name("net_tap0");
  port->set_driver("net_tap");
  port->set_mac("02:00:00:00:00:01");
  port->set_link_up(true);
  port->set_link_mbps(10'000);
  port->set_queues(2);
  port->set_rx_missed(17);
  auto* interface = port->add_interfaces();
  interface->set_mtu(1500);
  interface->add_addresses("192.0.2.10/24");
  auto* extended = port->add_extended();
  extended->set_name("rx_q0_packets");
  extended->set_count(99);
  ports.set_mbufs(8192);
  fake_.Answer(kAdmin + "ListPorts", ports);
  const std::string table = Table({"ports"});
  EXPECT_THAT(table, AllOf(HasSubstr("10 Gbit/s"), HasSubstr("192.0.2.10/24"), HasSubstr("8,192"),
                           Not(HasSubstr("rx_q0_packets"))));
  EXPECT_THAT(Table({"ports", "--extended"}), HasSubstr("rx_q0_packets     99\n"));
  EXPECT_EQ(InJson({"ports"})["ports"][0]["extended"][0]["count"], 99);

  relay::v1::ListWorkersResponse workers;
  auto* worker = workers.add_workers();
  worker->set_lcore(1);
  worker->set_busy_cycles(1);
  worker->set_idle_cycles(3);
  worker->set_polls(10);
  worker->set_empty_polls(5);
  fake_.Answer(kAdmin + "ListWorkers", workers);
  EXPECT_THAT(Table({"workers"}), AllOf(HasSubstr("25.0%"), HasSubstr("50.0%")));
  EXPECT_EQ(InJson({"workers"})[0]["busy_percent"], 25.0);
  EXPECT_EQ(InJson({"workers"})[0]["idle_cycles"], 3);

  relay::v1::ListNeighborsResponse neighbors;
  auto* neighbor = neighbors.add_neighbors();
  neighbor->set_ip("192.0.2.1");
  neighbor->set_state("incomplete");
  neighbor->set_gateway(true);
  neighbor->set_age_s(90);
  fake_.Answer(kAdmin + "ListNeighbors", neighbors);
  EXPECT_EQ(Table({"neighbors"}),
            "ADDRESS    MAC  STATE       PORT  VLAN  GATEWAY  CONFIRMED AGO  LEGS\n"
            "192.0.2.1  -    incomplete  -     0     yes             1m 30s     0\n");
  EXPECT_EQ(InJson({"neighbors"})[0]["age_s"], 90);
}

}  // namespace
}  // namespace sotto::tools
