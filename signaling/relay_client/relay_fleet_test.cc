// SPDX-License-Identifier: Apache-2.0
#include "signaling/relay_client/relay_fleet.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <thread>

#include "relay/auth/credential.h"
#include "relay/daemon/test_certificate.h"
#include "relay/daemon/test_folder.h"
#include "signaling/relay_client/call_name.h"
#include "signaling/relay_client/fake_relay.h"

namespace sotto::signaling {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;
using namespace std::chrono_literals;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kSlowness = 5;
#else
constexpr int kSlowness = 1;
#endif

CallId Call(uint8_t number) {
  CallId call = {};
  call.fill(number);
  return call;
}
std::string Name(uint8_t number) { return RelayCallName(Call(number)); }

class RelayFleetTest : public testing::Test {
 protected:
  ~RelayFleetTest() override {
    fleet.reset();
    relays_.clear();
  }

  std::string Of(std::string_view file) const { return folder_.Of(file); }
  std::string AddressOf(size_t i) const {
    return fmt::format("unix:{}/{}.sock", folder_.path(), i);
  }
  // One that has room, and serves.
  FakeRelay& AddRelay(bool start = true) {
    FakeRelay& relay =
        *relays_.emplace_back(std::make_unique<FakeRelay>(AddressOf(relays_.size())));
    relay.SetLoad(0, 1000);
    if (start) relay.Start();
    return relay;
  }
  RelayOptions OptionsOf(size_t i) const {
    return {.name = fmt::format("relay{}", i),
            .control = AddressOf(i),
            .tls_ca = {},
            .tls_cert = {},
            .tls_key = {},
            .urls = {fmt::format("turn:192.0.2.{}:3478?transport=udp", i)},
            .secret = "a-shared-secret"};
  }
  // Of the relays that there are.
  void StartFleet() {
    std::vector<RelayOptions> options;
    for (size_t i = 0; i < relays_.size(); ++i) options.push_back(OptionsOf(i));
    StartFleet(options);
  }
  void StartFleet(const std::vector<RelayOptions>& options) {
    auto loaded = LoadRelays(options);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    fleet = RelayFleet::Create(
        *std::move(loaded),
        [this](std::function<void()> work) {
          std::lock_guard lock(mutex_);
          posted_.push_back(std::move(work));
        },
        [this](const LegAddresses& leg) {
          std::string text =
              fmt::format("{}/{}", leg.call[0], leg.side == CallSideName::kCaller ? "a" : "b");
          for (const auto& relayed : leg.relayed) text += " " + relayed.ToString();
          legs.push_back(text);
        });
  }
  void SetRelays(const std::vector<RelayOptions>& options, std::chrono::seconds linger = 0s) {
    auto loaded = LoadRelays(options);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    fleet->SetRelays(*std::move(loaded), linger);
  }

  // This is the thread that the fleet posts to.
  void RunPosted() {
    std::vector<std::function<void()>> work;
    {
      std::lock_guard lock(mutex_);
      work.swap(posted_);
    }
    for (const auto& run : work) run();
  }
  template <typename Condition>
  bool Eventually(const Condition& condition, std::chrono::milliseconds within = 30s) {
    const auto end = std::chrono::steady_clock::now() + within;
    for (;;) {
      RunPosted();
      if (condition()) return true;
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(2ms);
    }
  }
  bool EventuallyWell(RelayIndex relay, bool well = true) {
    return Eventually([&] { return fleet->Health(relay).well == well; });
  }

  std::unique_ptr<RelayFleet> fleet;
  std::vector<std::string> legs;  // "CALL/a ADDRESS", in order

 private:
  const TestFolder folder_;
  std::vector<std::unique_ptr<FakeRelay>> relays_;
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;
};

TEST_F(RelayFleetTest, MintsCredentialsOfTheFormThatTheRelayTakes) {
  AddRelay(false);
  StartFleet();
  const RelayCredential a = fleet->Mint(0, Call(0xff), CallSideName::kCaller, 1'800'000'000, 600);
  EXPECT_EQ(a.username, "1800000600:_____________________w/a");
  EXPECT_EQ(a.credential, relay::MintTimeLimitedPassword("a-shared-secret", a.username));
  EXPECT_EQ(a.credential.size(), 28u);
  EXPECT_THAT(a.urls, ElementsAre("turn:192.0.2.0:3478?transport=udp"));
  const RelayCredential b = fleet->Mint(0, Call(1), CallSideName::kRecipient, 1'800'000'000, 600);
  EXPECT_EQ(b.username.size(), a.username.size());
  EXPECT_EQ(b.username.back(), 'b');
}

TEST(RelayCallName, IsReadBackAndNothingElseIs) {
  EXPECT_EQ(Name(0).size(), 22u);
  EXPECT_EQ(ParseRelayCallName(Name(0xab)), Call(0xab));
  EXPECT_FALSE(ParseRelayCallName(""));
  EXPECT_FALSE(ParseRelayCallName("a-call"));
  EXPECT_FALSE(ParseRelayCallName(Name(1) + "=="));
  EXPECT_FALSE(ParseRelayCallName("AQEBAQEBAQEBAQEBAQEBAR"));  // stray bits at the end
}

TEST_F(RelayFleetTest, ChoosesTheLeastLoadedOfThoseThatAreWell) {
  AddRelay().SetLoad(500, 1000);
  AddRelay().SetLoad(100, 1000);
  AddRelay().SetLoad(0, 1000, /*call_policy=*/false);
  AddRelay().SetLoad(1000, 1000);
  FakeRelay& draining = AddRelay();
  draining.SetLoad(0, 1000);
  draining.SetDraining(true);
  StartFleet();
  ASSERT_TRUE(EventuallyWell(0) && EventuallyWell(1));
  for (const size_t unwell : {2, 3, 4}) {
    EXPECT_TRUE(Eventually([&] { return fleet->Health(unwell).max_allocations == 1000; }));
    EXPECT_FALSE(fleet->Health(unwell).well);
  }
  EXPECT_EQ(fleet->Health(1).allocations, 100u);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(fleet->Choose(), 1u);
}

TEST_F(RelayFleetTest, CountsTheCallsThatWerePlacedSinceTheLastReport) {
  AddRelay().SetLoad(0, 1000);
  AddRelay().SetLoad(0, 1000);
  StartFleet();
  ASSERT_TRUE(EventuallyWell(0) && EventuallyWell(1));
  std::array<int, 2> chosen = {};
  for (int i = 0; i < 100; ++i) ++chosen[fleet->Choose()];
  EXPECT_NEAR(chosen[0], 50, 2);
}

TEST_F(RelayFleetTest, ChoosesSomeRelayIfNoneIsWell) {
  AddRelay(false);
  AddRelay(false);
  StartFleet();
  std::set<RelayIndex> chosen;
  for (int i = 0; i < 10; ++i) chosen.insert(fleet->Choose());
  EXPECT_THAT(chosen, ElementsAre(0, 1));
}

TEST_F(RelayFleetTest, TellsLegsThatStandAtTheArmAndThoseThatComeAndGo) {
  FakeRelay& relay = AddRelay();
  relay.SetLeg(Name(1), false, 50'000);
  StartFleet();
  ASSERT_TRUE(Eventually([&] { return relay.watches() == 1; }));
  EXPECT_THAT(legs, IsEmpty());  // not armed
  fleet->ArmCall(0, Call(1));
  ASSERT_TRUE(Eventually([&] { return !legs.empty(); }));
  EXPECT_THAT(legs, ElementsAre("1/a 192.0.2.10:50000"));
  EXPECT_TRUE(Eventually([&] { return relay.IsArmed(Name(1)); }));
  relay.SetLeg(Name(1), true, 50'001);
  ASSERT_TRUE(Eventually([&] { return legs.size() == 2; }));
  EXPECT_EQ(legs.back(), "1/b 192.0.2.10:50001");
  relay.SetLeg(Name(1), true, 0);
  ASSERT_TRUE(Eventually([&] { return legs.size() == 3; }));
  EXPECT_EQ(legs.back(), "1/b");
  // Others' calls are nobody's business here.
  relay.SetLeg(Name(2), true, 50'002);
  relay.SetLeg("somebody-elses", true, 50'003);
  fleet->EndCall(0, Call(1));
  EXPECT_TRUE(Eventually([&] { return !relay.IsArmed(Name(1)); }));
  relay.SetLeg(Name(1), false, 50'004);
  EXPECT_FALSE(Eventually([&] { return legs.size() > 3; }, 200ms));
}

TEST_F(RelayFleetTest, TriesToArmUntilItWorks) {
  FakeRelay& relay = AddRelay();
  relay.FailArms(2, grpc::RESOURCE_EXHAUSTED);
  StartFleet();
  fleet->ArmCall(0, Call(1));
  EXPECT_TRUE(Eventually([&] { return relay.IsArmed(Name(1)); }));
  EXPECT_GE(relay.Told().size(), 3u);
}

TEST_F(RelayFleetTest, TriesToArmUntilTheCallEnds) {
  FakeRelay& relay = AddRelay();
  relay.FailArms(1'000'000, grpc::FAILED_PRECONDITION);
  StartFleet();
  fleet->ArmCall(0, Call(1));
  ASSERT_TRUE(Eventually([&] { return relay.Told().size() >= 2; }));
  fleet->EndCall(0, Call(1));
  const auto ended = [&] { return relay.Told().back() == "end " + Name(1); };
  ASSERT_TRUE(Eventually(ended));
  EXPECT_FALSE(Eventually([&] { return !ended(); }, 1200ms));
}

TEST_F(RelayFleetTest, AnEndNeverOvertakesAnArm) {
  FakeRelay& relay = AddRelay();
  StartFleet();
  ASSERT_TRUE(EventuallyWell(0));
  relay.Hold(true);
  fleet->ArmCall(0, Call(1));
  ASSERT_TRUE(Eventually([&] { return relay.Told().size() == 1; }));
  fleet->EndCall(0, Call(1));
  EXPECT_FALSE(Eventually([&] { return relay.Told().size() > 1; }, 300ms));
  relay.Hold(false);
  EXPECT_TRUE(Eventually([&] { return relay.Told().size() == 2; }));
  EXPECT_THAT(relay.Told(), ElementsAre("arm " + Name(1), "end " + Name(1)));
  EXPECT_FALSE(relay.IsArmed(Name(1)));
  EXPECT_THAT(legs, IsEmpty());
}

TEST_F(RelayFleetTest, ArmsOnceTheRelayIsThere) {
  FakeRelay& relay = AddRelay(false);
  StartFleet();
  fleet->ArmCall(0, Call(1));
  EXPECT_FALSE(Eventually([&] { return relay.IsArmed(Name(1)); }, 300ms));
  EXPECT_FALSE(fleet->Health(0).well);
  relay.Start();
  EXPECT_TRUE(Eventually([&] { return relay.IsArmed(Name(1)); }));
  EXPECT_TRUE(EventuallyWell(0));
}

TEST_F(RelayFleetTest, ARelayThatComesBackIsToldAllThatItMissed) {
  FakeRelay& relay = AddRelay();
  StartFleet();
  for (uint8_t i = 1; i <= 3; ++i) fleet->ArmCall(0, Call(i));
  ASSERT_TRUE(Eventually([&] { return relay.Told().size() == 3; }));
  relay.SetLeg(Name(1), false, 50'000);
  ASSERT_TRUE(Eventually([&] { return legs.size() == 1; }));

  relay.Stop();
  ASSERT_TRUE(EventuallyWell(0, false));
  fleet->EndCall(0, Call(2));  // while it is gone
  fleet->ArmCall(0, Call(4));
  relay.SetLeg(Name(3), true, 50'010, /*tell=*/false);
  relay.Start();
  EXPECT_TRUE(EventuallyWell(0));
  EXPECT_TRUE(Eventually(
      [&] { return relay.IsArmed(Name(1)) && relay.IsArmed(Name(3)) && relay.IsArmed(Name(4)); }));
  EXPECT_TRUE(Eventually([&] {
    const std::vector<std::string> told = relay.Told();
    return std::ranges::count(told, "end " + Name(2)) == 1;
  }));
  EXPECT_FALSE(relay.IsArmed(Name(2)));
  // The leg that went with the relay is gone; the one that is there is told.
  ASSERT_TRUE(Eventually([&] { return legs.size() == 3; }));
  EXPECT_THAT(std::vector<std::string>(legs.begin() + 1, legs.end()),
              testing::UnorderedElementsAre("1/a", "3/b 192.0.2.10:50010"));
}

TEST_F(RelayFleetTest, TakesManyCallsAtATime) {
  FakeRelay& relay = AddRelay();
  StartFleet();
  ASSERT_TRUE(EventuallyWell(0));
#ifdef __SANITIZE_THREAD__
  constexpr int kCalls =
      40;  // it looks up each report that it leaves out, which takes it very long
#else
  constexpr int kCalls = 1000;
#endif
  for (int i = 0; i < kCalls; ++i) {
    CallId call = Call(7);
    call[0] = static_cast<uint8_t>(i);
    call[1] = static_cast<uint8_t>(i >> 8);
    fleet->ArmCall(0, call);
    fleet->EndCall(0, call);
  }
  // Each is ended once; the arm comes before that, or not at all if the end overtook it here.
  EXPECT_TRUE(Eventually([&] { return relay.TimesToldToEnd() == kCalls; }, 30s));
  std::map<std::string, std::vector<std::string>> told;
  for (const std::string& request : relay.Told()) {
    told[request.substr(4)].push_back(request.substr(0, 3));
  }
  EXPECT_EQ(told.size(), size_t{kCalls});
  for (const auto& [name, requests] : told) {
    ASSERT_THAT(requests, testing::AnyOf(ElementsAre("end"), ElementsAre("arm", "end")));
  }
}

TEST_F(RelayFleetTest, CallsNobodyBackOnceItIsGone) {
  FakeRelay& relay = AddRelay();
  StartFleet();
  fleet->ArmCall(0, Call(1));
  ASSERT_TRUE(Eventually([&] { return relay.IsArmed(Name(1)); }));
  relay.SetLeg(Name(1), false, 50'000);
  std::this_thread::sleep_for(200ms);  // posted by now, and not run
  fleet.reset();
  RunPosted();
  EXPECT_THAT(legs, IsEmpty());
}

TEST_F(RelayFleetTest, EndsSoonWhateverTheRelayDoes) {
  FakeRelay& relay = AddRelay();
  AddRelay(false);
  StartFleet();
  ASSERT_TRUE(EventuallyWell(0));
  relay.Hold(true);
  for (uint8_t i = 0; i < 50; ++i) fleet->ArmCall(i % 2, Call(i));
  ASSERT_TRUE(Eventually([&] { return !relay.Told().empty(); }));
  const auto begin = std::chrono::steady_clock::now();
  fleet.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s * kSlowness);
}

std::vector<std::string> NamesOf(const RelayFleet& fleet) {
  std::vector<std::string> names;
  for (const RelayReport& report : fleet.Reports()) names.push_back(report.name);
  return names;
}

TEST_F(RelayFleetTest, ARelayThatIsAddedGetsCalls) {
  AddRelay().SetLoad(999, 1000);
  StartFleet();
  ASSERT_TRUE(EventuallyWell(0));
  FakeRelay& added = AddRelay();
  SetRelays({OptionsOf(1), OptionsOf(0)});
  EXPECT_THAT(NamesOf(*fleet), ElementsAre("relay1", "relay0"));
  ASSERT_TRUE(EventuallyWell(1));
  EXPECT_EQ(fleet->Choose(), 1u);
  EXPECT_THAT(fleet->Mint(1, Call(1), CallSideName::kCaller, 1'800'000'000, 600).urls,
              ElementsAre("turn:192.0.2.1:3478?transport=udp"));
  fleet->ArmCall(1, Call(1));
  EXPECT_TRUE(Eventually([&] { return added.IsArmed(Name(1)); }));
}

TEST_F(RelayFleetTest, ARelayThatIsTakenOutKeepsTheCallsThatItHas) {
  FakeRelay& old = AddRelay();
  AddRelay();
  StartFleet();
  ASSERT_TRUE(EventuallyWell(0) && EventuallyWell(1));
  fleet->ArmCall(0, Call(1));
  ASSERT_TRUE(Eventually([&] { return old.IsArmed(Name(1)); }));
  SetRelays({OptionsOf(1)}, 2s);
  EXPECT_THAT(NamesOf(*fleet), ElementsAre("relay1"));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(fleet->Choose(), 1u);
  // One that was placed before, and connects only now.
  fleet->ArmCall(0, Call(2));
  EXPECT_TRUE(Eventually([&] { return old.IsArmed(Name(2)); }));
  old.SetLeg(Name(1), false, 50'000);
  EXPECT_TRUE(Eventually([&] { return legs.size() == 1; }));
  EXPECT_FALSE(Eventually([&] { return !old.IsArmed(Name(1)) || !old.IsArmed(Name(2)); }, 2500ms));

  // Nobody asks for it any more once it has none.
  fleet->EndCall(0, Call(1));
  fleet->EndCall(0, Call(2));
  EXPECT_TRUE(Eventually([&] { return !old.IsArmed(Name(1)) && !old.IsArmed(Name(2)); }));
  int polls = -1;
  EXPECT_TRUE(Eventually([&] {
    std::this_thread::sleep_for(1500ms);
    return std::exchange(polls, old.polls()) == old.polls();
  }));
  fleet->ArmCall(0, Call(3));
  EXPECT_FALSE(Eventually([&] { return old.IsArmed(Name(3)); }, 300ms));
}

TEST_F(RelayFleetTest, ARelayThatComesBackIntoTheListIsAskedAnew) {
  FakeRelay& relay = AddRelay();
  AddRelay();
  StartFleet();
  ASSERT_TRUE(EventuallyWell(0) && EventuallyWell(1));
  SetRelays({OptionsOf(1)});
  SetRelays({OptionsOf(0), OptionsOf(1)});
  ASSERT_TRUE(EventuallyWell(2));
  std::set<RelayIndex> chosen;
  for (int i = 0; i < 10; ++i) chosen.insert(fleet->Choose());
  EXPECT_THAT(chosen, ElementsAre(1, 2));
  fleet->ArmCall(2, Call(1));
  EXPECT_TRUE(Eventually([&] { return relay.IsArmed(Name(1)); }));
}

TEST_F(RelayFleetTest, NewCredentialsAreForCallsToCome) {
  FakeRelay& relay = AddRelay();
  StartFleet();
  fleet->ArmCall(0, Call(1));
  ASSERT_TRUE(Eventually([&] { return relay.IsArmed(Name(1)); }));
  RelayOptions options = OptionsOf(0);
  options.urls = {"turn:relay.example.org"};
  options.secret = "the-next-secret";
  SetRelays({options});
  const RelayCredential minted = fleet->Mint(0, Call(2), CallSideName::kCaller, 1'800'000'000, 600);
  EXPECT_THAT(minted.urls, ElementsAre("turn:relay.example.org"));
  EXPECT_EQ(minted.credential, relay::MintTimeLimitedPassword("the-next-secret", minted.username));
  EXPECT_EQ(relay.watches(), 1);
  EXPECT_TRUE(relay.IsArmed(Name(1)));
}

class RelayFleetTlsTest : public RelayFleetTest {
 protected:
  // One that signs itself, and its key: in NAME.pem and NAME-key.pem, too.
  TestCertificate Certificate(const std::string& name) {
    const int64_t now = time(nullptr);
    TestCertificate made =
        MakeTestCertificate(name.c_str(), now - 3600, now + 24 * 3600, "IP:127.0.0.1");
    std::ofstream(Of(name + ".pem")) << made.cert;
    std::ofstream(Of(name + "-key.pem")) << made.key;
    return made;
  }
  static uint16_t FreePort() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
    close(fd);
    return ntohs(address.sin_port);
  }
};

TEST_F(RelayFleetTlsTest, NewCertificatesAreForConnectionsToCome) {
  grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  tls.pem_root_certs = Certificate("signald").cert + Certificate("signald-next").cert;
  const TestCertificate own = Certificate("relay");
  tls.pem_key_cert_pairs.push_back({.private_key = own.key, .cert_chain = own.cert});
  RelayOptions options = OptionsOf(0);
  options.control = fmt::format("127.0.0.1:{}", FreePort());
  options.tls_ca = Of("relay.pem");
  options.tls_cert = Of("signald.pem");
  options.tls_key = Of("signald-key.pem");
  FakeRelay relay(options.control, grpc::SslServerCredentials(tls));
  relay.SetLoad(0, 1000);
  relay.Start();
  StartFleet({options});
  ASSERT_TRUE(EventuallyWell(0));
  fleet->ArmCall(0, Call(1));
  ASSERT_TRUE(Eventually([&] { return relay.IsArmed(Name(1)) && relay.watches() == 1; }));
  EXPECT_EQ(relay.peer(), "signald");

  options.tls_cert = Of("signald-next.pem");
  options.tls_key = Of("signald-next-key.pem");
  SetRelays({options});
  EXPECT_TRUE(Eventually([&] {
    EXPECT_TRUE(fleet->Health(0).well) << fleet->Health(0).problem;
    return relay.peer() == "signald-next" && relay.watches() == 2;
  }));
  relay.SetLeg(Name(1), false, 50'000);
  EXPECT_TRUE(Eventually([&] { return legs.size() == 1; }));
  // What stays as it is has no new connection.
  SetRelays({options});
  EXPECT_FALSE(Eventually([&] { return relay.watches() > 2; }, 300ms));
  fleet.reset();
}

TEST(RelayFleetOptions, SayWhatIsWrong) {
  const auto error = [](RelayOptions options) {
    options.name = "one";
    const auto loaded = LoadRelays({options});
    return loaded.ok() ? "(none)" : std::string(loaded.status().message());
  };
  RelayOptions options;
  options.control = "unix:relayd.sock";
  EXPECT_THAT(error(options),
              StartsWith("relay \"one\": control: a Unix socket's path must begin"));
  options.control = "unix:/relayd.sock";
  options.tls_ca = "/ca.pem";
  EXPECT_THAT(error(options), HasSubstr("a Unix socket does not use TLS"));
  options.control = "relay.example.org";
  EXPECT_THAT(error(options), HasSubstr("must be \"unix:PATH\" or \"HOST:PORT\""));
  options.control = "relay.example.org:0";
  EXPECT_THAT(error(options), HasSubstr("must be \"unix:PATH\" or \"HOST:PORT\""));
  options.control = "relay.example.org:9640";
  EXPECT_THAT(error(options), HasSubstr("set tls_ca, tls_cert and tls_key"));
  options.tls_cert = options.tls_key = "/none.pem";
  EXPECT_THAT(error(options), HasSubstr("/ca.pem can't be opened"));
  EXPECT_FALSE(LoadRelays({}).ok());
}

}  // namespace
}  // namespace sotto::signaling
