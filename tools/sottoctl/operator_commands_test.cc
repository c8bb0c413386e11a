// SPDX-License-Identifier: Apache-2.0
// Users, secrets, credentials, configuration and log: what is asked, and what is printed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "relay/api/admin.pb.h"
#include "relay/api/daemon.pb.h"
#include "tools/sottoctl/command_fixture.h"

namespace sotto::tools {
namespace {

using ::testing::HasSubstr;

const std::string kAdmin = "sotto.relay.v1.Admin.";
const std::string kDaemon = "sotto.daemon.v1.Daemon.";

using OperatorCommands = CommandTest;

TEST_F(OperatorCommands, Users) {
  relay::v1::AddUserResponse added;
  added.set_password("made-for-you");
  fake_.Answer(kAdmin + "AddUser", added);
  EXPECT_EQ(Table({"users", "add", "alice"}), "User      alice\nPassword  made-for-you\n");
  EXPECT_EQ(InJson({"users", "add", "alice"})["password"], "made-for-you");

  fake_.Answer(kAdmin + "AddUser", relay::v1::AddUserResponse());
  runner_.input = "of my own\nand more\n";
  EXPECT_EQ(Table({"users", "add", "alice", "--password-stdin"}), "Added user alice.\n");
  EXPECT_EQ(fake_.Last<relay::v1::AddUserRequest>(kAdmin + "AddUser").password(), "of my own");
  relay::v1::RemoveUserResponse removed;
  removed.set_ended(2);
  fake_.Answer(kAdmin + "RemoveUser", removed);
  EXPECT_EQ(Table({"users", "remove", "alice", "--end-allocations"}),
            "Removed user alice; 2 of its allocations ended.\n");
  const auto request = fake_.Last<relay::v1::RemoveUserRequest>(kAdmin + "RemoveUser");
  EXPECT_EQ(request.name(), "alice");
  EXPECT_TRUE(request.end_allocations());
  EXPECT_EQ(InJson({"users", "remove", "alice"})["ended"], 2);

  relay::v1::ListUsersResponse users;
  users.add_users()->set_name("demo");
  users.mutable_users(0)->set_from_config(true);
  fake_.Answer(kAdmin + "ListUsers", users);
  EXPECT_EQ(Table({"users", "list"}),
            "USER  IN CONFIGURATION  ALLOCATIONS\ndemo  yes                         0\n");
  EXPECT_EQ(InJson({"users", "list"})[0]["name"], "demo");
}

TEST_F(OperatorCommands, APasswordIsALineWhateverEndsIt) {
  fake_.Answer(kAdmin + "AddUser", relay::v1::AddUserResponse());
  // What is no line end is the password's own: the relay refuses control characters.
  for (const auto& [input, password] : std::initializer_list<std::pair<const char*, const char*>>{
           {"of my own\n", "of my own"},
           {"of my own\r\n", "of my own"},
           {"of my own", "of my own"},
           {"of my own\r", "of my own\r"},
           {"of my own\r\r\n", "of my own\r"},
           {"of\rmy own\r\nand more\r\n", "of\rmy own"}}) {
    runner_.input = input;
    EXPECT_EQ(Run({"users", "add", "alice", "--password-stdin"}).code, kExitDone);
    EXPECT_EQ(fake_.Last<relay::v1::AddUserRequest>(kAdmin + "AddUser").password(), password);
  }
  const size_t calls = fake_.calls(kAdmin + "AddUser");
  for (const char* input : {"", "\n", "\r\n"}) {
    runner_.input = input;
    const Ran ran = Run({"users", "add", "alice", "--password-stdin"});
    EXPECT_EQ(ran.code, kExitFailed);
    EXPECT_THAT(ran.err, HasSubstr("standard input has no password"));
  }
  EXPECT_EQ(fake_.calls(kAdmin + "AddUser"), calls);
}

TEST_F(OperatorCommands, SecretsAndCredentials) {
  relay::v1::RotateSecretResponse rotated;
  rotated.set_secret("new-one");
  rotated.add_dropped("0badcafe");
  fake_.Answer(kAdmin + "RotateSecret", rotated);
  EXPECT_EQ(Table({"secrets", "rotate", "--keep", "3"}),
            "New secret  new-one\nDropped     0badcafe\n");
  EXPECT_EQ(fake_.Last<relay::v1::RotateSecretRequest>(kAdmin + "RotateSecret").keep(), 3u);
  EXPECT_EQ(InJson({"secrets", "rotate"})["secret"], "new-one");
  EXPECT_EQ(Run({"secrets", "rotate", "--keep", "15"}).code, kExitDone);
  EXPECT_THAT(Run({"secrets", "rotate", "--keep", "16"}).err, HasSubstr("from 1 to 15"));
  relay::v1::ListSecretsResponse secrets;
  secrets.add_secrets()->set_id("0badcafe");
  secrets.mutable_secrets(0)->set_mints(true);
  fake_.Answer(kAdmin + "ListSecrets", secrets);
  EXPECT_EQ(Table({"secrets", "list"}), "ID        MINTS  IN CONFIGURATION\n0badcafe  yes    no\n");
  EXPECT_EQ(InJson({"secrets", "list"})[0]["mints"], true);

  relay::v1::Credential credential;
  credential.set_username("1767312000:alice");
  credential.set_password("c2VjcmV0");
  credential.add_urls("turn:192.0.2.10:3478?transport=udp");
  fake_.Answer(kAdmin + "MintCredential", credential);
  const Json expected = Json::parse(R"({"iceServers": [{
      "urls": ["turn:192.0.2.10:3478?transport=udp"],
      "username": "1767312000:alice", "credential": "c2VjcmV0"}]})");
  EXPECT_EQ(Json::parse(Table({"credential", "mint", "alice", "--valid", "2h"})), expected);
  EXPECT_EQ(InJson({"credential", "mint", "alice"}), expected);
  fake_.Answer(kAdmin + "MintCredential", credential);
  Run({"credential", "mint", "call-1/a", "--valid", "2h"});
  const auto request = fake_.Last<relay::v1::MintCredentialRequest>(kAdmin + "MintCredential");
  EXPECT_EQ(request.name(), "call-1/a");
  EXPECT_EQ(request.valid_s(), 7200u);
}

TEST_F(OperatorCommands, ConfigChecksShowsAndCompares) {
  daemon::v1::ConfigChange change;
  change.add_reloadable("[log] level");
  change.add_init_only("[dataplane] workers");
  change.add_warnings("The secret is short.");
  fake_.Answer(kDaemon + "CheckConfig", change);
  runner_.input = "[log]\nlevel = \"debug\"\n";
  EXPECT_EQ(Table({"config", "check", "-"}),
            "Warning: The secret is short.\n"
            "- is valid; 2 keys differ from the configuration in force; of these, 1 wait for a "
            "restart.\n");
  const auto request = fake_.Last<daemon::v1::CheckConfigRequest>(kDaemon + "CheckConfig");
  EXPECT_EQ(request.text(), runner_.input);
  EXPECT_EQ(request.name(), "<stdin>");
  EXPECT_THAT(Table({"config", "check"}), HasSubstr("The daemon's file is valid"));
  EXPECT_TRUE(fake_.Last<daemon::v1::CheckConfigRequest>(kDaemon + "CheckConfig").text().empty());
  EXPECT_EQ(InJson({"config", "check"})["init_only"][0], "[dataplane] workers");
  EXPECT_THAT(Run({"config", "check", "/nonexistent.toml"}).err, HasSubstr("can't be opened"));

  daemon::v1::Config config;
  auto* level = config.add_entries();
  level->set_section("log");
  level->set_name("level");
  level->set_value("\"info\"");
  level->set_reloadable(true);
  level->set_standard(true);
  auto* secret = config.add_entries();
  secret->set_section("turn.auth");
  secret->set_name("shared_secrets");
  secret->set_secret(true);
  secret->set_line(12);
  fake_.Answer(kDaemon + "GetConfig", config);
  EXPECT_EQ(Table({"config", "diff"}),
            "KEY                  COMES WITH  IN FORCE\n"
            "[log] level          reload      \"info\"\n"
            "[dataplane] workers  restart     -\n");
  EXPECT_EQ(InJson({"config", "diff"})[0]["in_force"], "\"info\"");
  EXPECT_EQ(Table({"config", "show"}),
            "SECTION    KEY             FROM     CHANGES BY  VALUE\n"
            "log        level           default  reload      \"info\"\n"
            "turn.auth  shared_secrets  line 12  restart     (secret)\n");
  EXPECT_EQ(InJson({"config", "show", "--changed"}).size(), 1u);

  fake_.Refuse(kDaemon + "CheckConfig", absl::StatusCode::kInvalidArgument,
               "relayd.toml:3: [log] level: none of error, warning, info, debug");
  const Ran wrong = Run({"config", "check"});
  EXPECT_EQ(wrong.code, kExitFailed);
  EXPECT_THAT(wrong.err, HasSubstr("relayd.toml:3: [log] level"));
}

TEST_F(OperatorCommands, SeveralComplaintsAboutAConfigurationStandInLinesOfTheirOwn) {
  fake_.Refuse(kDaemon + "Reload", absl::StatusCode::kInvalidArgument, "a:1: one\na:2: two\033[1m");
  EXPECT_EQ(Run({"reload"}).err, "sottoctl: a:1: one\na:2: two\\x1b[1m\n");
}

TEST_F(OperatorCommands, ReloadAndLogLevel) {
  daemon::v1::ConfigChange change;
  change.add_reloadable("[log] level");
  change.add_init_only("[dataplane] workers");
  fake_.Answer(kDaemon + "Reload", change);
  EXPECT_EQ(Table({"reload"}), "In force: [log] level\nNeeds a restart: [dataplane] workers\n");
  EXPECT_EQ(InJson({"reload"})["reloadable"][0], "[log] level");
  fake_.Answer(kDaemon + "Reload", daemon::v1::ConfigChange());
  EXPECT_THAT(Table({"reload"}), HasSubstr("Nothing changed"));

  daemon::v1::DaemonInfo info;
  info.set_log_level("info");
  fake_.Answer(kDaemon + "GetDaemon", info);
  EXPECT_EQ(Table({"log", "level"}), "info\n");
  EXPECT_EQ(InJson({"log", "level"}), Json::parse(R"({"level": "info"})"));
  daemon::v1::SetLogLevelResponse set;
  set.set_previous("info");
  fake_.Answer(kDaemon + "SetLogLevel", set);
  EXPECT_EQ(Table({"log", "level", "debug"}), "The log level is debug; it was info.\n");
  EXPECT_EQ(fake_.Last<daemon::v1::SetLogLevelRequest>(kDaemon + "SetLogLevel").level(), "debug");
  EXPECT_EQ(InJson({"log", "level", "debug"})["previous"], "info");
  EXPECT_EQ(Run({"log", "level", "loud"}).code, kExitUsage);
}

}  // namespace
}  // namespace sotto::tools
