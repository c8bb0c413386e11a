// SPDX-License-Identifier: Apache-2.0
// Each command about signaling, against a daemon that answers as it is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "relay/api/daemon.pb.h"
#include "signaling/api/admin.pb.h"
#include "tools/signaling_client/keys.h"
#include "tools/signaling_client/token.h"
#include "tools/sottoctl/fake_daemon.h"
#include "tools/sottoctl/run_sottoctl.h"

namespace sotto::tools {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kAdmin = "sotto.signaling.v1.SignalingAdmin.";

class SignalingCommands : public ::testing::Test {
 protected:
  // By the environment, as the target of all that concerns signaling.
  SignalingCommands() { runner_.environment["SOTTO_SIGNALING_TARGET"] = fake_.target(); }

  std::string Table(const std::vector<std::string>& arguments) {
    const Ran ran = runner_.Run(arguments);
    EXPECT_EQ(ran.code, kExitDone) << ran.err;
    return ran.out;
  }
  Json InJson(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--output", "json"});
    return Json::parse(Table(arguments));
  }

  FakeDaemon fake_;
  Runner runner_;
};

TEST_F(SignalingCommands, StatusHasTheRelays) {
  signaling::v1::SignalingStatus status;
  status.set_sessions(1500);
  status.set_store_queue_capacity(4096);
  auto* relay = status.add_relays();
  relay->set_name("relay-1");
  relay->set_problem("connection refused");
  fake_.Answer(kAdmin + "GetStatus", status);
  EXPECT_THAT(Table({"--signaling", "status"}),
              AllOf(HasSubstr("Sessions            1,500\n"),
                    HasSubstr("RELAY    UP  ALLOCATIONS  LIMIT  PROBLEM\n"
                              "relay-1  no            0      0  connection refused\n")));
  EXPECT_EQ(InJson({"--signaling", "status"})["relays"][0]["problem"], "connection refused");
}

TEST_F(SignalingCommands, BothDaemonsAreReloadedTheSameWay) {
  fake_.Answer("sotto.daemon.v1.Daemon.Reload", daemon::v1::ConfigChange());
  Table({"reload", "--signaling"});
  EXPECT_EQ(fake_.calls("sotto.daemon.v1.Daemon.Reload"), 1u);
}

TEST_F(SignalingCommands, Sessions) {
  signaling::v1::SessionInfo session;
  session.set_id(7);
  session.set_account("alice");
  session.set_device("00ff");
  session.set_connected(true);
  session.set_identity_ends_in_s(3600);
  fake_.Answer(kAdmin + "ListSessions", session);
  EXPECT_EQ(Table({"sessions", "--account", "alice", "--limit", "3"}),
            "ID  ACCOUNT  DEVICE  CONNECTED  AGE  IDENTITY ENDS IN  FRAMES WAITING\n"
            "7   alice    00ff    yes         0s                1h               0\n");
  const auto filter = fake_.Last<signaling::v1::SessionFilter>(kAdmin + "ListSessions");
  EXPECT_EQ(filter.account(), "alice");
  EXPECT_EQ(filter.limit(), 3u);
  EXPECT_EQ(InJson({"sessions"})[0]["device"], "00ff");

  fake_.Answer(kAdmin + "EndSession", signaling::v1::EndSessionResponse());
  EXPECT_EQ(Table({"sessions", "end", "7"}), "Ended session 7.\n");
  EXPECT_EQ(fake_.Last<signaling::v1::EndSessionRequest>(kAdmin + "EndSession").id(), 7u);
  EXPECT_EQ(InJson({"sessions", "end", "7"}), Json::parse(R"({"id": 7})"));
}

TEST_F(SignalingCommands, Accounts) {
  signaling::v1::AccountInfo info;
  info.set_account("alice");
  info.set_silence_unknown_callers(true);
  info.add_devices("00ff");
  info.add_devices("11ee");
  fake_.Answer(kAdmin + "GetAccount", info);
  EXPECT_THAT(Table({"accounts", "show", "alice"}),
              AllOf(HasSubstr("Silences unknown callers  yes\n"),
                    HasSubstr("Devices                   00ff, 11ee\n")));
  EXPECT_EQ(InJson({"accounts", "show", "alice"})["blocked"], false);
  fake_.Refuse(kAdmin + "GetAccount", absl::StatusCode::kNotFound, "no account bob");
  EXPECT_EQ(runner_.Run({"accounts", "show", "bob"}).code, kExitNotFound);

  signaling::v1::SetAccountBlockedResponse set;
  set.set_sessions_ended(2);
  fake_.Answer(kAdmin + "SetAccountBlocked", set);
  const auto last = [this] {
    return fake_.Last<signaling::v1::SetAccountBlockedRequest>(kAdmin + "SetAccountBlocked");
  };
  EXPECT_EQ(Table({"accounts", "block", "alice"}),
            "Blocked account alice; 2 of its sessions ended.\n");
  EXPECT_TRUE(last().blocked());
  EXPECT_EQ(InJson({"accounts", "unblock", "alice"})["blocked"], false);
  EXPECT_EQ(last().account(), "alice");
  EXPECT_FALSE(last().blocked());
}

TEST_F(SignalingCommands, TokensAreTakenInBothSpellings) {
  const std::string token =
      IssueToken(AccountSecret::Generate().EpochKey(5, 0), "alice", 5, RandomSerial());
  signaling::v1::TokenInfo info;
  info.set_epoch(5);
  info.set_serial("\x01\xff");
  info.set_sentence("It has no uses left: it has rung as often as it may.");
  fake_.Answer(kAdmin + "InspectToken", info);
  const auto asked = [this] {
    return fake_.Last<signaling::v1::InspectTokenRequest>(kAdmin + "InspectToken");
  };
  EXPECT_THAT(Table({"tokens", "inspect", "alice", ToHex(AsBytes(token))}),
              AllOf(HasSubstr("Would ring              no\n"),
                    HasSubstr("It has no uses left: it has rung as often as it may.")));
  EXPECT_EQ(asked().token(), token);
  EXPECT_EQ(asked().account(), "alice");
  EXPECT_EQ(InJson({"tokens", "inspect", "alice", ToBase64Url(AsBytes(token))})["serial"], "01ff");
  EXPECT_EQ(asked().token(), token);
  runner_.input = ToHex(AsBytes(token)) + "\n";
  Table({"tokens", "inspect", "alice", "-"});
  EXPECT_EQ(fake_.calls(kAdmin + "InspectToken"), 3u);
  const Ran short_one = runner_.Run({"tokens", "inspect", "alice", "00ff"});
  EXPECT_EQ(short_one.code, kExitFailed);
  EXPECT_THAT(short_one.err, HasSubstr("a token has 85 bytes"));
}

TEST_F(SignalingCommands, Epochs) {
  signaling::v1::ListEpochsResponse response;
  response.set_current(2923);
  auto* epoch = response.add_epochs();
  epoch->set_epoch(2923);
  epoch->set_begins_unix_s(1'767'225'600);
  epoch->set_ends_unix_s(1'768'435'200);
  epoch->set_public_key("\xab\xcd");
  epoch->set_uses(1);
  fake_.Answer(kAdmin + "ListEpochs", response);
  EXPECT_EQ(Table({"epochs", "alice"}),
            "Current epoch: 2923\n\n"
            "EPOCH  BEGINS             TOKENS END         USES  PUBLIC KEY\n"
            "2923   2026-01-01 00:00Z  2026-01-15 00:00Z     1  abcd\n");
  EXPECT_EQ(InJson({"epochs", "alice"})["epochs"][0]["ends_unix_s"], 1'768'435'200);
}

TEST_F(SignalingCommands, IdentityNewAsksNoDaemon) {
  const std::string path = ::testing::TempDir() + "/identity_new_key.pem";
  EVP_PKEY* key = EVP_EC_gen("P-256");
  std::FILE* file = std::fopen(path.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  EVP_PKEY_free(key);
  runner_.environment["SOTTO_SIGNALING_TARGET"] = "unix:/nonexistent";
  const std::string token = Table({"identity", "new", "alice", "--identity-key", path, "--valid",
                                   "10m", "--issuer", "me", "--audience", "sotto"});
  const size_t dot = token.find('.');
  const auto claims =
      Json::parse(*FromBase64Url(token.substr(dot + 1, token.rfind('.') - dot - 1)));
  EXPECT_EQ(claims["sub"], "alice");
  EXPECT_EQ(claims["iss"], "me");
  EXPECT_EQ(claims["aud"], "sotto");
  EXPECT_EQ(claims["exp"], 1'767'226'200);
  EXPECT_EQ(InJson({"identity", "new", "alice", "--identity-key", path})["expires_unix_s"],
            1'767'229'200);
  EXPECT_EQ(runner_.Run({"identity", "new", "no one", "--identity-key", path}).code, kExitUsage);
  std::filesystem::remove(path);
  EXPECT_THAT(runner_.Run({"identity", "new", "alice", "--identity-key", path}).err,
              HasSubstr("can't open the identity key"));
}

}  // namespace
}  // namespace sotto::tools
