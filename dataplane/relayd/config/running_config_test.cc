// SPDX-License-Identifier: Apache-2.0
// Reload, users and secrets: all of it or nothing.
#include "dataplane/relayd/config/running_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <thread>

#include "dataplane/relayd/config/disk_thread.h"
#include "relay/auth/credential.h"
#include "relay/daemon/test_certificate.h"
#include "relay/daemon/test_folder.h"
#include "relay/turn/test_client.h"

namespace sotto::dataplane {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr std::string_view kConfig = R"([[interface]]
port = "net_null0"
addresses = ["192.0.2.10/24", "2001:db8::10/64"]
[turn]
realm = "example.org"
listen = ["192.0.2.10:3478", "[2001:db8::10]:3478"]
relay_addresses = ["192.0.2.10"]
[turn.auth]
users = { demo = "a-long-secret" }
shared_secrets = ["configured"]
file = "FOLDER/auth.toml"
[turn.peers]
policy = "public"
)";

class RunningConfigTest : public testing::Test {
 protected:
  std::string With(std::string_view from, std::string_view to) const {
    std::string text(kConfig);
    text.replace(text.find("FOLDER"), 6, folder_.path());
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  }
  static void Write(const std::string& path, std::string_view text) {
    std::ofstream(path) << text;
    chmod(path.c_str(), 0600);
  }
  void Start(std::string_view text) {
    Write(config_path_, text);
    auto config = LoadConfig(config_path_);
    ASSERT_TRUE(config.ok()) << config.status();
    auto loaded = RunningConfig::Load(config_path_, *std::move(config));
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    running_.emplace(*std::move(loaded));
    running_->SetEffects(
        {.log = [this](const LogOptions& log) { logs_.push_back(log); },
         .limits = [this](const relay::LimitOptions& limits) { limits_.push_back(limits); },
         .tls = [this](TlsPem pem) { tls_.push_back(std::move(pem)); }});
    server_.emplace(running_->Options(), plane_);
  }
  void Start() { Start(With("", "")); }
  std::string ReloadError() {
    const auto change = running_->Reload(*server_);
    if (change.ok()) return "(none)";
    EXPECT_EQ(change.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(change.status().message());
  }
  // Changes of what is kept, made at once.
  absl::StatusOr<std::string> AddUser(std::string_view name, std::string_view password) {
    absl::StatusOr<std::string> result = absl::UnknownError("not answered");
    running_->AddUser(*server_, std::string(name), std::string(password),
                      [&](absl::StatusOr<std::string> made) { result = std::move(made); });
    return result;
  }
  absl::Status RemoveUser(std::string_view name) {
    absl::Status result = absl::UnknownError("not answered");
    running_->RemoveUser(*server_, std::string(name),
                         [&](const absl::Status& status) { result = status; });
    return result;
  }
  absl::StatusOr<RunningConfig::Rotation> RotateSecret(uint32_t keep) {
    absl::StatusOr<RunningConfig::Rotation> result = absl::UnknownError("not answered");
    running_->RotateSecret(*server_, keep, [&](absl::StatusOr<RunningConfig::Rotation> rotation) {
      result = std::move(rotation);
    });
    return result;
  }
  int TryLogin(std::string_view name, std::string_view password) {
    relay::TestClient client(
        *server_,
        {{IpAddress::V4(203, 0, 113, 5), static_cast<uint16_t>(1024 + clients_++)},
         *TransportAddress::Parse("192.0.2.10:3478")},
        std::string(name), std::string(password));
    return client.Allocate(now_).error;
  }
  int TryTimeLimited(std::string_view secret) {
    const std::string username = fmt::format("{}:somebody", now_.unix_s + 60);
    return TryLogin(username, relay::MintTimeLimitedPassword(secret, username));
  }

  const TestFolder folder_;
  const std::string config_path_ = folder_.Of("relayd.toml");
  const std::string file_path_ = folder_.Of("auth.toml");
  relay::NullForwardingPlane plane_;
  std::optional<RunningConfig> running_;
  std::optional<relay::Server> server_;
  std::vector<LogOptions> logs_;
  std::vector<TlsPem> tls_;
  std::vector<relay::LimitOptions> limits_;
  const Now now_{.monotonic_ms = 5'000'000, .unix_s = 1'800'000'000};
  uint16_t clients_ = 0;
};

TEST_F(RunningConfigTest, ReloadBringsIntoForceWhatItMayAndNamesTheRest) {
  Start();
  Write(config_path_,
        With("users = { demo = \"a-long-secret\" }", "users = { carol = \"carols-secret\" }") +
            "deny = [\"203.0.113.0/24\"]\n[turn.limits]\nmax_allocations_per_user = 7\n"
            "requests_per_prefix = 9\n[dataplane]\npoll = \"busy\"\n[log]\nlevel = "
            "\"error\"\n[process]\ndrain_s = 30\n");
  const auto change = running_->Reload(*server_);
  ASSERT_TRUE(change.ok()) << change.status();
  EXPECT_THAT(change->keys.reloadable,
              ElementsAre("[log] level", "[process] drain_s", "[turn.auth] users",
                          "[turn.limits] max_allocations_per_user",
                          "[turn.limits] requests_per_prefix", "[turn.peers] deny"));
  EXPECT_THAT(change->keys.init_only, ElementsAre("[dataplane] poll"));
  EXPECT_EQ(TryLogin("demo", "a-long-secret"), 401);
  EXPECT_EQ(TryLogin("carol", "carols-secret"), 0);
  EXPECT_THAT(server_->options().peers.deny, SizeIs(1));
  EXPECT_EQ(server_->options().limits.max_allocations_per_user, 7u);
  ASSERT_THAT(limits_, SizeIs(1));
  EXPECT_EQ(limits_[0].requests_per_prefix, 9u);
  EXPECT_EQ(running_->config().drain_s, 30u);
  ASSERT_THAT(logs_, SizeIs(1));
  EXPECT_EQ(logs_[0].level, LogLevel::kError);
  // What is in force is told, and what isn't stays a difference.
  EXPECT_TRUE(running_->config().settings.contains("turn.peers.deny"));
  EXPECT_FALSE(running_->config().settings.contains("dataplane.poll"));
  const auto again = running_->Reload(*server_);
  ASSERT_TRUE(again.ok());
  EXPECT_THAT(again->keys.reloadable, IsEmpty());
  EXPECT_THAT(again->keys.init_only, ElementsAre("[dataplane] poll"));
}

TEST_F(RunningConfigTest, ABadFileAHundredTimesInARowChangesNothing) {
  Start();
  const relay::ServerOptions before = server_->options();
  const std::pair<std::string, std::string> bad[] = {
      {With("policy = \"public\"", "policy = \"pubic\""), "[turn.peers] policy"},
      {With("users = {", "users = { carol = \"x\","), "the password of"},
      {With("realm =", "realm = ["), "is not valid TOML"},
      {With("", "") + "[log]\nlevel = \"loud\"\n", "[log] level"},
      // Good by itself, but not with what only a restart changes.
      {With("policy = \"public\"", "policy = \"call\""), "does not name a leg"},
  };
  for (int i = 0; i < 100; ++i) {
    const auto& [text, said] = bad[i % std::size(bad)];
    Write(config_path_, text);
    EXPECT_THAT(ReloadError(), HasSubstr(said));
    EXPECT_EQ(server_->options(), before);
  }
  Write(file_path_, "[turn.auth]\nuser = {}\n");
  Write(config_path_, With("a-long-secret", "another-secret"));
  EXPECT_THAT(ReloadError(), HasSubstr("auth.toml:2: [turn.auth] has no key \"user\""));
  std::filesystem::remove(file_path_);
  std::filesystem::remove(config_path_);
  EXPECT_THAT(ReloadError(), HasSubstr("can't be opened"));
  EXPECT_EQ(server_->options(), before);
  EXPECT_THAT(logs_, IsEmpty());
  EXPECT_EQ(TryLogin("demo", "a-long-secret"), 0);
}

TEST_F(RunningConfigTest, CheckTellsWhatAReloadWouldDoAndChangesNothing) {
  Start();
  const auto wanted = ParseConfig(With("a-long-secret", "another-secret"), "w.toml");
  ASSERT_TRUE(wanted.ok());
  const auto change = running_->Check(*wanted);
  ASSERT_TRUE(change.ok()) << change.status();
  EXPECT_THAT(change->keys.reloadable, ElementsAre("[turn.auth] users"));
  EXPECT_EQ(TryLogin("demo", "a-long-secret"), 0);
}

TEST_F(RunningConfigTest, KeepsUsersInItsFile) {
  Start();
  EXPECT_EQ(TryLogin("erin", "erins-secret"), 401);
  ASSERT_EQ(*AddUser("erin", "erins-secret"), "");
  EXPECT_EQ(TryLogin("erin", "erins-secret"), 0);
  const auto made = AddUser("frank", "");
  ASSERT_TRUE(made.ok());
  EXPECT_THAT(*made, SizeIs(24));
  EXPECT_EQ(TryLogin("frank", *made), 0);
  const std::string odd = "o\"d'd = \\ \u00e9 [x]\t";  // tab is a control character
  EXPECT_EQ(AddUser(odd, "a-password").status().code(), absl::StatusCode::kInvalidArgument);
  for (const std::string bad : {"not utf-8 \xff", "\xc2\x9b[2J"}) {
    EXPECT_EQ(AddUser(bad, "a-password").status().code(), absl::StatusCode::kInvalidArgument);
  }
  const std::string name = "o\"d'd = \\ \u00e9 [x]";
  ASSERT_TRUE(AddUser(name, name).ok());
  // What toml++ wouldn't quote as a key.
  for (const std::string quoted : {"o'brien", "'", "a'-_1"}) {
    ASSERT_TRUE(AddUser(quoted, quoted + "-password").ok()) << quoted;
  }

  struct stat st;
  ASSERT_EQ(stat(file_path_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  EXPECT_FALSE(std::filesystem::exists(file_path_ + ".new"));
  // A new process finds them, and so does a reload.
  const auto kept = LoadCredentials(file_path_);
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ(kept->users, running_->kept().users);
  EXPECT_THAT(running_->Reload(*server_)->keys.reloadable, IsEmpty());
  EXPECT_EQ(TryLogin(name, name), 0);

  EXPECT_EQ(AddUser("erin", "another-one").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(AddUser("demo", "another-one").status().code(), absl::StatusCode::kFailedPrecondition);
  for (const auto& [bad, password] : {std::pair<std::string, std::string>{"", "a-password"},
                                      {"grace", "short"},
                                      {std::string(600, 'x'), "a-password"},
                                      {"grace", std::string(2000, 'x')}}) {
    EXPECT_EQ(AddUser(bad, password).status().code(), absl::StatusCode::kInvalidArgument);
  }
  ASSERT_TRUE(RemoveUser("erin").ok());
  EXPECT_EQ(TryLogin("erin", "erins-secret"), 401);
  EXPECT_EQ(RemoveUser("erin").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(RemoveUser("demo").code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RunningConfigTest, AFileThatCantBeWrittenChangesNothing) {
  Start();
  std::filesystem::create_directory(file_path_ + ".new");  // in the way, even for root
  EXPECT_EQ(AddUser("erin", "erins-secret").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(RotateSecret(1).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(TryLogin("erin", "erins-secret"), 401);
  EXPECT_THAT(server_->options().auth.shared_secrets, ElementsAre("configured"));
  EXPECT_THAT(running_->kept().users, IsEmpty());
}

TEST_F(RunningConfigTest, AFileThatIsGoneTakesNobodyAway) {
  Start();
  ASSERT_TRUE(AddUser("erin", "erins-secret").ok());
  ASSERT_TRUE(running_->Reload(*server_).ok());
  EXPECT_TRUE(running_->last_reload_succeeded());
  std::filesystem::remove(file_path_);
  EXPECT_THAT(ReloadError(), HasSubstr("auth.toml is missing"));
  EXPECT_FALSE(running_->last_reload_succeeded());
  EXPECT_EQ(TryLogin("erin", "erins-secret"), 0);
  // The next change writes it anew, with all that there is.
  ASSERT_TRUE(AddUser("frank", "franks-secret").ok());
  ASSERT_TRUE(running_->Reload(*server_).ok());
  EXPECT_TRUE(running_->last_reload_succeeded());
  EXPECT_EQ(TryLogin("erin", "erins-secret"), 0);
}

TEST_F(RunningConfigTest, WithoutAFileThereIsNothingToKeep) {
  Start(With("file = \"" + file_path_ + "\"\n", ""));
  for (const absl::Status& status :
       {AddUser("erin", "erins-secret").status(), RemoveUser("erin"), RotateSecret(1).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("set [turn.auth] file"));
  }
}

TEST_F(RunningConfigTest, RotatesSecretsAndMintsWithTheNewest) {
  Start();
  EXPECT_EQ(TryTimeLimited("configured"), 0);
  std::vector<std::string> made;
  std::vector<std::string> dropped;
  for (int i = 0; i < 4; ++i) {
    const auto rotation = RotateSecret(i < 3 ? 2 : 0);
    ASSERT_TRUE(rotation.ok()) << rotation.status();
    EXPECT_THAT(rotation->secret, SizeIs(43));
    made.push_back(rotation->secret);
    dropped.insert(dropped.end(), rotation->dropped.begin(), rotation->dropped.end());
  }
  EXPECT_THAT(server_->options().auth.shared_secrets, ElementsAre(made[3], made[2], "configured"));
  EXPECT_THAT(dropped, UnorderedElementsAre(SecretId(made[0]), SecretId(made[1])));
  EXPECT_EQ(TryTimeLimited(made[0]), 401);
  EXPECT_EQ(TryTimeLimited(made[2]), 0);
  EXPECT_EQ(TryTimeLimited("configured"), 0);
  EXPECT_EQ(RotateSecret(16).status().code(), absl::StatusCode::kInvalidArgument);

  const auto minted = running_->Mint("alice", 3600, now_);
  ASSERT_TRUE(minted.ok()) << minted.status();
  EXPECT_EQ(minted->username, "1800003600:alice");
  EXPECT_EQ(minted->expires_unix_s, 1'800'003'600);
  EXPECT_EQ(minted->password, relay::MintTimeLimitedPassword(made[3], minted->username));
  EXPECT_THAT(minted->urls, ElementsAre("turn:192.0.2.10:3478?transport=udp",
                                        "turn:[2001:db8::10]:3478?transport=udp"));
  EXPECT_EQ(TryLogin(minted->username, minted->password), 0);
  EXPECT_EQ(running_->Mint("alice", 0, now_)->expires_unix_s, 1'800'086'400);
  for (const std::string& bad : {std::string(), std::string("a\nb"), std::string(500, 'x')}) {
    EXPECT_EQ(running_->Mint(bad, 60, now_).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(running_->Mint("alice", uint64_t{1} << 60, now_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// `printf 'sotto secret id' | openssl dgst -sha256 -hmac 'configured'`
TEST(SecretId, IsTheBeginningOfADigest) { EXPECT_EQ(SecretId("configured"), "a97aa094"); }

TEST_F(RunningConfigTest, UnderThePolicyCallCredentialsAreForLegs) {
  std::string text = With("\"public\"", "\"call\"");
  text.replace(text.find("demo"), 4, "\"demo/a\"");
  Start(text);
  EXPECT_EQ(running_->Mint("alice", 60, now_).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(running_->Mint("alice/b", 60, now_).ok());
  EXPECT_EQ(AddUser("erin", "erins-secret").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(AddUser("erin/a", "erins-secret").ok());
}

TEST_F(RunningConfigTest, StartsWithNobodyIfItKeepsUsersItself) {
  std::string text = With("shared_secrets = [\"configured\"]\n", "");
  text.erase(text.find("users ="), text.find("file =") - text.find("users ="));
  Start(text);
  EXPECT_THAT(running_->config().warnings, ElementsAre(HasSubstr("no client can allocate")));
  EXPECT_EQ(running_->Mint("alice", 60, now_).status().code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(AddUser("erin", "erins-secret").ok());
  EXPECT_EQ(TryLogin("erin", "erins-secret"), 0);
  // The last one may go, too.
  ASSERT_TRUE(RemoveUser("erin").ok());
  EXPECT_EQ(TryLogin("erin", "erins-secret"), 401);
}

TEST_F(RunningConfigTest, TheConfigurationsUserWinsAndTheOtherIsNamed) {
  Write(file_path_, "[turn.auth]\nusers = { demo = \"another-secret\" }\n");
  Start();
  EXPECT_THAT(running_->config().warnings, ElementsAre(HasSubstr("1 user is both in [turn.auth]")));
  EXPECT_EQ(TryLogin("demo", "a-long-secret"), 0);
  EXPECT_EQ(TryLogin("demo", "another-secret"), 401);
}

TEST_F(RunningConfigTest, KeepsTheLogLevelUntilTheNextReload) {
  Start();
  EXPECT_EQ(running_->SetLogLevel(LogLevel::kDebug), LogLevel::kInfo);
  EXPECT_EQ(running_->log().level, LogLevel::kDebug);
  ASSERT_TRUE(running_->Reload(*server_).ok());
  EXPECT_EQ(running_->log().level, LogLevel::kInfo);
  ASSERT_THAT(logs_, SizeIs(2));
  EXPECT_EQ(logs_[1].level, LogLevel::kInfo);
}

TEST_F(RunningConfigTest, WarnsOfCertificatesThatAreOrWillSoonBeRefused) {
  constexpr int64_t kDay = 24 * 3600;
  int64_t now = now_.unix_s;
  const auto issue = [&](int64_t days) {
    const TestCertificate made = MakeTestCertificate("relay1", now - kDay, now + days * kDay);
    Write(folder_.Of("cert.pem"), made.cert);
    Write(folder_.Of("key.pem"), made.key);
    Write(folder_.Of("ca.pem"), made.cert);
  };
  issue(90);
  const std::string text = fmt::format(
      "{}[admin]\nlisten = \"127.0.0.1:9640\"\ntls_cert = \"{}/cert.pem\"\ntls_key = "
      "\"{}/key.pem\"\ntls_ca = \"{}/ca.pem\"\n",
      With("", ""), folder_.path(), folder_.path(), folder_.path());
  Write(config_path_, text);
  auto running = RunningConfig::Load(config_path_, *LoadConfig(config_path_), [&] { return now; });
  ASSERT_TRUE(running.ok()) << running.status();
  EXPECT_THAT(running->config().warnings, IsEmpty());
  server_.emplace(running->Options(), plane_);

  now += 80 * kDay;
  EXPECT_THAT(running->Reload(*server_)->warnings,
              ElementsAre(HasSubstr("[admin] tls_cert: " + folder_.path() +
                                    "/cert.pem: the certificate of relay1 expires on"),
                          HasSubstr("[admin] tls_ca: " + folder_.path() + "/ca.pem: ")));
  now += 20 * kDay;
  EXPECT_THAT(running->Check(*LoadConfig(config_path_))->warnings,
              ElementsAre(HasSubstr("relay1 has expired"), HasSubstr("relay1 has expired")));
  const auto late =
      RunningConfig::Load(config_path_, *LoadConfig(config_path_), [&] { return now; });
  EXPECT_THAT(late->config().warnings, SizeIs(2));
  issue(90);
  EXPECT_THAT(running->Reload(*server_)->warnings, IsEmpty());
}

// A disk that does nothing until it is told to.
class SlowDiskTest : public RunningConfigTest {
 protected:
  using Written = std::function<void(relay::Server&, const absl::Status&)>;

  void StartSlow() {
    Start();
    running_->SetEffects({.log = {},
                          .limits = {},
                          .tls = {},
                          .write = [this](std::function<absl::Status()> write, Written then) {
                            EXPECT_FALSE(write_) << "two at a time";
                            write_ = std::move(write);
                            then_ = std::move(then);
                          }});
  }
  absl::Status Write() { return std::exchange(write_, {})(); }
  void Then(const absl::Status& written) { std::exchange(then_, {})(*server_, written); }
  // Each change's name and what came of it, in order.
  void Add(const std::string& name) {
    running_->AddUser(*server_, name, name + "-password", [=, this](const auto& made) {
      answers_.push_back("add " + name + (made.ok() ? "" : ": not"));
    });
  }
  void Remove(const std::string& name) {
    running_->RemoveUser(*server_, name, [=, this](const absl::Status& status) {
      answers_.push_back("remove " + name + (status.ok() ? "" : ": not"));
    });
  }
  bool Allocates(const std::string& name) { return TryLogin(name, name + "-password") == 0; }
  std::vector<std::string> OnDisk() const {
    std::vector<std::string> names;
    const auto kept = LoadCredentials(file_path_);
    if (kept.ok()) {
      for (const auto& [name, password] : kept->users) names.push_back(name);
    }
    return names;
  }

  std::function<absl::Status()> write_;
  Written then_;
  std::vector<std::string> answers_;
};

TEST_F(SlowDiskTest, ChangesAreInForceOnceTheyAreWrittenOneAtATimeAndInOrder) {
  StartSlow();
  Add("erin");
  Add("frank");
  Remove("erin");
  Add("erin");  // not yet removed by now, but when its turn comes
  Remove("grace");
  EXPECT_THAT(answers_, IsEmpty());
  EXPECT_THAT(OnDisk(), IsEmpty());
  const absl::Status first = Write();
  EXPECT_THAT(OnDisk(), ElementsAre("erin"));
  EXPECT_FALSE(Allocates("erin"));
  EXPECT_THAT(answers_, IsEmpty());
  Then(first);
  EXPECT_THAT(answers_, ElementsAre("add erin"));
  EXPECT_TRUE(Allocates("erin"));
  EXPECT_FALSE(Allocates("frank"));
  Then(Write());
  EXPECT_TRUE(Allocates("frank"));
  Then(Write());
  EXPECT_FALSE(Allocates("erin"));
  EXPECT_THAT(OnDisk(), ElementsAre("frank"));
  Then(Write());
  EXPECT_TRUE(Allocates("erin"));
  EXPECT_THAT(answers_,
              ElementsAre("add erin", "add frank", "remove erin", "add erin", "remove grace: not"));
  EXPECT_FALSE(write_);
  EXPECT_THAT(OnDisk(), ElementsAre("erin", "frank"));
}

TEST_F(SlowDiskTest, AWriteThatFailsChangesNothingAndTheNextIsMadeWithoutIt) {
  StartSlow();
  Add("erin");
  Add("frank");
  write_ = {};
  Then(absl::PermissionDeniedError("a read-only disk"));
  EXPECT_THAT(answers_, ElementsAre("add erin: not"));
  Then(Write());
  EXPECT_THAT(answers_, ElementsAre("add erin: not", "add frank"));
  EXPECT_THAT(OnDisk(), ElementsAre("frank"));
  EXPECT_FALSE(Allocates("erin"));
  EXPECT_TRUE(Allocates("frank"));
}

TEST_F(SlowDiskTest, AReloadMeanwhileLosesNothingAndBringsNothingEarly) {
  StartSlow();
  for (const bool written_before : {false, true}) {
    const std::string name = written_before ? "erin" : "frank";
    const std::string prefix = written_before ? "203.0.113.0/24" : "198.51.100.0/24";
    Add(name);
    absl::Status written;
    if (written_before) written = Write();
    RunningConfigTest::Write(config_path_, With("", "") + "deny = [\"" + prefix + "\"]\n");
    const auto change = running_->Reload(*server_);
    ASSERT_TRUE(change.ok()) << change.status();
    EXPECT_THAT(change->keys.reloadable, ElementsAre("[turn.peers] deny"));
    EXPECT_THAT(change->warnings, ElementsAre(HasSubstr("if you edited it, reload again")));
    EXPECT_FALSE(Allocates(name));
    if (!written_before) written = Write();
    Then(written);
    EXPECT_TRUE(Allocates(name));
    EXPECT_THAT(server_->options().peers.deny, ElementsAre(*IpPrefix::Parse(prefix)));
  }
  // What is in force is what the file says.
  const auto change = running_->Reload(*server_);
  EXPECT_THAT(change->keys.reloadable, IsEmpty());
  EXPECT_THAT(change->warnings, IsEmpty());
  EXPECT_THAT(OnDisk(), ElementsAre("erin", "frank"));
}

TEST_F(SlowDiskTest, AtTheEndEachChangeIsAnswered) {
  StartSlow();
  Add("erin");
  Remove("erin");
  running_->Close();
  EXPECT_THAT(answers_, ElementsAre("add erin: not", "remove erin: not"));
  Add("frank");
  EXPECT_THAT(answers_, SizeIs(3));
  Then(Write());  // too late to be told
  EXPECT_THAT(answers_, SizeIs(3));
}

class DiskThreadTest : public testing::Test {
 protected:
  // What control does until `done`.
  void RunUntil(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!done() && std::chrono::steady_clock::now() < end) {
      if (tasks_.Run(server_, {}, 64) == 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    }
    EXPECT_TRUE(done());
  }

  relay::NullForwardingPlane plane_;
  relay::Server server_{relay::ServerOptions(), plane_};
  relay::ServerTasks tasks_{8, [] {}};
};

TEST_F(DiskThreadTest, ControlGoesOnWhileTheDiskHangs) {
  DiskThread disk(tasks_);
  std::promise<void> hangs;
  std::thread::id worked_on;
  std::vector<std::string> done;
  disk.Do(
      [&] {
        worked_on = std::this_thread::get_id();
        hangs.get_future().wait();
        return absl::UnavailableError("slow");
      },
      [&](relay::Server& server, const absl::Status& status) {
        EXPECT_EQ(&server, &server_);
        done.push_back(std::string(status.message()));
      });
  disk.Do([] { return absl::OkStatus(); },
          [&](relay::Server&, const absl::Status&) { done.push_back("next"); });
  int other_work = 0;
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(tasks_.Post([&](relay::Server&, const Now&) { ++other_work; }));
  }
  RunUntil([&] { return other_work == 8; });
  EXPECT_THAT(done, IsEmpty());
  hangs.set_value();
  RunUntil([&] { return done.size() == 2; });
  EXPECT_THAT(done, ElementsAre("slow", "next"));
  EXPECT_NE(worked_on, std::this_thread::get_id());
}

TEST_F(DiskThreadTest, ItsEndWaitsForWhatIsBeingDoneButNotForADiskThatHangs) {
  const auto finished = std::make_shared<std::atomic<bool>>(false);
  const auto begun = std::make_shared<std::promise<void>>();
  std::optional<DiskThread> disk(std::in_place, tasks_);
  disk->Do(
      [=] {
        begun->set_value();
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        *finished = true;
        return absl::OkStatus();
      },
      [](relay::Server&, const absl::Status&) { ADD_FAILURE() << "there is nobody to tell"; });
  begun->get_future().wait();
  disk.reset();
  EXPECT_TRUE(*finished);

  const auto hangs = std::make_shared<std::promise<void>>();
  disk.emplace(tasks_);
  disk->Do(
      [=] {
        hangs->get_future().wait();
        return absl::OkStatus();
      },
      [](relay::Server&, const absl::Status&) { ADD_FAILURE() << "there is nobody to tell"; });
  disk.reset();  // comes back
  hangs->set_value();
  EXPECT_EQ(tasks_.Run(server_, {}, 64), 0u);
}

TEST(CredentialFile, HasBounds) {
  const std::string path = testing::TempDir() + fmt::format("sotto_auth_{}.toml", getpid());
  KeptCredentials kept;
  for (size_t i = 0; i <= kMaxKeptUsers; ++i) kept.users[fmt::format("user{}", i)] = "a-password";
  EXPECT_THAT(std::string(SaveCredentials(path, kept).message()), HasSubstr("10001 users"));
  kept.users = {};
  kept.secrets.assign(kMaxKeptSecrets + 1, "a-secret");
  EXPECT_THAT(std::string(SaveCredentials(path, kept).message()), HasSubstr("17 secrets"));
  kept.secrets = {std::string(kMaxConfigSize, 'x')};
  EXPECT_EQ(SaveCredentials(path, kept).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(CredentialFile, WarnsIfOthersCanReadIt) {
  const std::string path = testing::TempDir() + fmt::format("sotto_auth_{}.toml", getpid());
  ASSERT_TRUE(SaveCredentials(path, {.users = {{"demo", "a-long-secret"}}, .secrets = {}}).ok());
  EXPECT_THAT(LoadCredentials(path)->warnings, IsEmpty());
  chmod(path.c_str(), 0644);
  EXPECT_THAT(LoadCredentials(path)->warnings, ElementsAre(HasSubstr("chmod o-r")));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace sotto::dataplane
