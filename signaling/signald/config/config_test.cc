// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sotto::signaling {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kGood = R"([server]
listen = ["192.0.2.10:443"]
tls_cert = "/c.pem"
tls_key = "/k.pem"
[identity]
keys = "/i.pem"
[store]
path = "/var/lib/sotto/signald.db"
[[relay]]
name = "one"
control = "unix:/run/sotto/relayd.sock"
urls = ["turn:192.0.2.10:3478"]
secret = "a-long-secret"
)";

// kGood with `from` replaced.
std::string With(std::string_view from, std::string_view to) {
  std::string text(kGood);
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string Error(const std::string& text) {
  const auto config = ParseConfig(text, "f.toml");
  return config.ok() ? "" : std::string(config.status().message());
}

TEST(SignaldConfig, ReadsWhatStandsThereAndKeepsTheRest) {
  const auto config = ParseConfig(With("[store]", R"([calls]
ring_s = 20
pair_calls = 3
standing_window_s = 60
[limits]
frames_per_s = 7
[log]
level = "debug"
[store])"),
                                  "f.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->server.listen.at(0).ToString(), "192.0.2.10:443");
  EXPECT_TRUE(config->server.tls);
  EXPECT_EQ(config->service.calls.ring_s, 20u);
  EXPECT_EQ(config->decider.pair_calls, 3u);
  EXPECT_EQ(config->decider.standing_window_s, 60u);
  EXPECT_EQ(config->service.standing_window_s, 60u) << "the service forgets by the same window";
  EXPECT_EQ(config->service.sessions.frames_per_s, 7u);
  EXPECT_EQ(config->service.sessions.heartbeat_s, SessionTableOptions().heartbeat_s);
  EXPECT_EQ(config->relays.at(0).control, "unix:/run/sotto/relayd.sock");
  EXPECT_EQ(config->log.level, LogLevel::kDebug);
  EXPECT_THAT(config->warnings, IsEmpty());
}

TEST(SignaldConfig, DefaultsAreThoseOfTheReference) {
  const std::string reference = ConfigReference();
  const auto says = [&](std::string_view key, uint32_t value) {
    const size_t line = reference.find("| `" + std::string(key) + "` |");
    ASSERT_NE(line, std::string::npos) << key;
    EXPECT_THAT(reference.substr(line, reference.find('\n', line) - line),
                HasSubstr("| `" + std::to_string(value) + "` |"))
        << key;
  };
  const SignaldConfig config;
  says("ring_s", config.service.calls.ring_s);
  says("heartbeat_s", config.service.sessions.heartbeat_s);
  says("resume_s", config.service.sessions.resume_s);
  says("notice_interval_s", config.service.notice_interval_s);
  says("max_calls", config.service.calls.max_calls);
  says("max_placed_per_account", config.service.calls.max_placed_per_account);
  says("max_places_per_minute", config.service.calls.max_places_per_minute);
  says("max_ringing_per_account", config.service.calls.max_ringing_per_account);
  says("max_call_s", config.service.calls.max_call_s);
  says("credential_s", config.service.calls.credential_s);
  says("pair_calls", config.decider.pair_calls);
  says("pair_window_s", config.decider.pair_window_s);
  says("standing_silenced", config.decider.standing_silenced);
  says("standing_window_s", config.decider.standing_window_s);
  says("max_connections", config.limits.max_connections);
  says("max_connections_per_prefix", config.limits.max_connections_per_prefix);
  says("max_sessions", config.service.sessions.max_sessions);
  says("frames_per_s", config.service.sessions.frames_per_s);
  says("frame_burst", config.service.sessions.frame_burst);
  EXPECT_EQ(config.service.standing_window_s, config.decider.standing_window_s);
}

TEST(SignaldConfig, EachErrorNamesPlaceAndRemedy) {
  EXPECT_EQ(Error(std::string(kGood)), "");
  const struct {
    std::string text;
    std::string says;
  } kCases[] = {
      {With("tls_cert", "tls_crt"),
       "f.toml:3: [server] has no key \"tls_crt\"; did you mean tls_cert?"},
      {With("\"192.0.2.10:443\"", ""), "f.toml:2: [server] listen: has no addresses"},
      {With("192.0.2.10:443", "192.0.2.10"),
       "f.toml:2: [server] listen: \"192.0.2.10\" is not valid"},
      {With("\"192.0.2.10:443\"", "\"192.0.2.10:443\", \"192.0.2.10:443\""),
       "f.toml:2: [server] listen: 192.0.2.10:443 occurs twice"},
      {With("tls_cert = \"/c.pem\"\n", ""), "f.toml: [server] tls_cert is missing"},
      {With("\"/k.pem\"", "\"k.pem\""),
       "f.toml:4: [server] tls_key: \"k.pem\" is not an absolute path"},
      {With("tls_key = \"/k.pem\"", "tls_key = \"/k.pem\"\ntls = false"),
       "[server] tls: plain HTTP is only for development on loopback addresses"},
      {With("tls_key = \"/k.pem\"", "tls_key = \"/k.pem\"\norigins = [\"https://a/\"]"),
       "f.toml:5: [server] origins: \"https://a/\" is not an origin"},
      {With("tls_key = \"/k.pem\"", "tls_key = \"/k.pem\"\norigins = [\"*\"]"), "is not an origin"},
      {With("keys = \"/i.pem\"", ""), "f.toml: [identity] keys is missing"},
      {With("keys = \"/i.pem\"", "development = true"),
       "f.toml:6: [identity] development: issues any identity to anyone"},
      {With("path = \"/var/lib/sotto/signald.db\"", ""), "f.toml: [store] path is missing"},
      {With("[store]", "[calls]\nring_s = 0\n[store]"), "[calls] ring_s: 0 is out of range"},
      {With("[store]", "[calls]\nring_s = 60\ncredential_s = 59\n[store]"),
       "f.toml:9: [calls] credential_s is less than ring_s"},
      {With("\"a-long-secret\"", "\"short\""), "f.toml:13: [relay] secret: is too short"},
      {With("\"unix:/run", "\"unix:run"), "f.toml:11: [relay] control: \"unix:run"},
      {With("\"unix:/run/sotto/relayd.sock\"", "\"192.0.2.1:4000\""),
       "it needs tls_ca, tls_cert and tls_key"},
      {With("secret =", "tls_ca = \"/ca.pem\"\nsecret ="),
       "is a Unix socket, which does not use TLS"},
      {With("turn:192", "stun:192"),
       "f.toml:12: [relay] urls: \"stun:192.0.2.10:3478\" is not a TURN"},
      {std::string(kGood.substr(0, kGood.find("[[relay]]"))), "f.toml: there is no [[relay]]"},
      {std::string(kGood) + std::string(kGood.substr(kGood.find("[[relay]]"))),
       "f.toml:15: [relay] name: \"one\" is used twice"},
  };
  for (const auto& test : kCases) EXPECT_THAT(Error(test.text), HasSubstr(test.says)) << test.text;
}

TEST(SignaldConfig, SecretsAreNotShown) {
  EXPECT_THAT(Error(With("\"a-long-secret\"", "\"shhh\"")), ::testing::Not(HasSubstr("shhh")));
}

TEST(SignaldConfig, DevelopmentIsForLoopback) {
  std::string text = With("keys = \"/i.pem\"", "development = true");
  text.replace(text.find("192.0.2.10:443"), 14, "127.0.0.1:443\", \"[::1]:443");
  EXPECT_EQ(Error(text), "");
  EXPECT_EQ(Error(With("keys = \"/i.pem\"", "development = true\ndevelopment_anywhere = true")),
            "");
}

TEST(SignaldConfig, ChangesThatNeedARestartAreNamed) {
  const auto changed = [](const std::string& text) {
    return CompareConfigs(SignaldConfigSchema(), ParseConfig(kGood, "f.toml")->settings,
                          ParseConfig(text, "f.toml").value().settings)
        .init_only;
  };
  EXPECT_THAT(changed(With("[store]", "[calls]\nring_s = 9\n[log]\nlevel = \"debug\"\n[store]")),
              ElementsAre("[calls] ring_s"));
  EXPECT_THAT(changed(With("/c.pem", "/d.pem")), IsEmpty());
  EXPECT_THAT(changed(With("[store]", "[limits]\nmax_sessions = 9\nframe_burst = 9\n[store]")),
              IsEmpty());
  EXPECT_THAT(changed(With("a-long-secret", "another-secret")), IsEmpty());
  EXPECT_THAT(changed(With("name = \"one\"", "name = \"two\"")), IsEmpty());
}

TEST(SignaldConfig, AdminAndMetrics) {
  const auto config =
      ParseConfig(With("[store]",
                       "[admin]\nsocket = \"/run/s.sock\"\ngroup = \"ops\"\nlisten = "
                       "\"127.0.0.1:9643\"\ntls_cert = \"/c\"\ntls_key = \"/k\"\ntls_ca = "
                       "\"/a\"\n[metrics]\nlisten = \"127.0.0.1:9642\"\n[store]"),
                  "f.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->admin.socket, "/run/s.sock");
  EXPECT_EQ(config->admin.group, "ops");
  EXPECT_EQ(config->admin.listen->ToString(), "127.0.0.1:9643");
  EXPECT_EQ(config->admin.tls.ca, "/a");
  EXPECT_EQ(config->metrics_listen->ToString(), "127.0.0.1:9642");
  EXPECT_THAT(Error(With("[store]", "[admin]\nlisten = \"127.0.0.1:9643\"\n[store]")),
              HasSubstr("TCP needs mutual TLS, and tls_cert is missing"));
  EXPECT_THAT(Error(With("[store]", "[admin]\ngroup = \"ops\"\n[store]")),
              HasSubstr("[admin] group: only applies to socket"));
  EXPECT_THAT(Error(With("[store]", "[metrics]\nlisten = \"127.0.0.1:0\"\n[store]")),
              HasSubstr("port 0 is not possible"));
}

}  // namespace
}  // namespace sotto::signaling
