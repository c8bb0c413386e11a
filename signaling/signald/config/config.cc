// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/config/config.h"

#include <set>

#include "relay/auth/credential.h"
#include "relay/daemon/config_value.h"

namespace sotto::signaling {
namespace {

// What sotto-relayd takes at least.
constexpr size_t kMinSecretSize = 6;

void ReadOrigins(const ConfigValue& value, std::vector<std::string>& out) {
  for (const ConfigValue& element : value.Elements()) {
    const auto origin = element.String();
    if (!origin) continue;
    const size_t scheme = origin->find("://");
    const bool known = origin->starts_with("https://") || origin->starts_with("http://");
    if (!known || origin->find_first_of("/?# *", scheme + 3) != std::string::npos ||
        origin->size() == scheme + 3) {
      element.Fail(
          fmt::format("{} isn't an origin; must be a scheme, a host and perhaps a port, "
                      "such as \"https://app.example.org\".",
                      Quoted(*origin)));
    } else {
      out.push_back(*origin);
    }
  }
}

void ReadUrls(const ConfigValue& value, std::vector<std::string>& out) {
  for (const ConfigValue& element : value.Elements()) {
    const auto url = element.String();
    if (!url) continue;
    if (!url->starts_with("turn:") && !url->starts_with("turns:")) {
      element.Fail(
          fmt::format("{} isn't a TURN URL (RFC 7065); must be such as "
                      "\"turn:192.0.2.10:3478?transport=udp\".",
                      Quoted(*url)));
    } else {
      out.push_back(*url);
    }
  }
}

void ReadListen(const ConfigValue& value, std::vector<TransportAddress>& out) {
  value.ReadAll(out);
  if (value.node().is_array() && value.node().as_array()->empty()) {
    value.Fail(fmt::format("names no address; must be such as {}.", value.key().example));
  }
}

// A reader that stores an integer in a member, within bounds.
#define SOTTO_INTEGER(member, least, most) \
  [](const ConfigValue& v, SignaldConfig& c) { v.Read(c.member, least, most); }
#define SOTTO_PATH(member) [](const ConfigValue& v, SignaldConfig& c) { ReadFilePath(v, c.member); }
#define SOTTO_BOOLEAN(member) [](const ConfigValue& v, SignaldConfig& c) { v.Read(c.member); }

constexpr int64_t kDay = 24 * 3600;
constexpr int64_t kMillion = 1'000'000;

const ConfigKeyReader<SignaldConfig> kKeys[] = {
    {{.section = "server",
      .name = "listen",
      .type = "an array of addresses with ports",
      .standard = "(none)",
      .example = R"(["0.0.0.0:443", "[::]:443"])",
      .required = true,
      .meaning = "Where clients connect. An IPv6 address takes IPv6 alone."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadListen(v, c.server.listen); }},
    {{.section = "server",
      .name = "tls_cert",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/etc/sotto/cert.pem\"",
      .reloadable = true,
      .meaning = "The server's certificate with its chain, in PEM. A reload reads it again."},
     SOTTO_PATH(server.tls_cert)},
    {{.section = "server",
      .name = "tls_key",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/etc/sotto/key.pem\"",
      .reloadable = true,
      .meaning = "Its private key, in PEM."},
     SOTTO_PATH(server.tls_key)},
    {{.section = "server",
      .name = "tls",
      .type = "a boolean",
      .standard = "true",
      .example = "false",
      .meaning = "`false` serves plain HTTP, which is possible on loopback addresses alone: for "
                 "development, as browsers trust `http://localhost`."},
     SOTTO_BOOLEAN(server.tls)},
    {{.section = "server",
      .name = "web_root",
      .type = "a folder",
      .standard = "(none)",
      .example = "\"/usr/share/sotto/web\"",
      .reloadable = true,
      .meaning = "The web client's files, served at `/`; read into memory at start and on reload."},
     SOTTO_PATH(server.web_root)},
    {{.section = "server",
      .name = "origins",
      .type = "an array of origins",
      .standard = "[]",
      .example = R"(["https://app.example.org"])",
      .reloadable = true,
      .meaning = "Pages from where else than this server may connect (RFC 6454)."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadOrigins(v, c.server.origins); }},

    {{.section = "identity",
      .name = "keys",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/etc/sotto/identity.pem\"",
      .reloadable = true,
      .meaning = "The public keys that identities (JWTs) are signed with, in PEM, one or several: "
                 "EC P-256 for ES256, RSA of 2048 bits or more for RS256. A reload reads it again; "
                 "with a bad one, the old keys stay."},
     SOTTO_PATH(identity.keys)},
    {{.section = "identity",
      .name = "issuer",
      .type = "a string",
      .standard = "(any)",
      .example = "\"https://login.example.org\"",
      .reloadable = true,
      .meaning = "What `iss` of an identity must be."},
     [](const ConfigValue& v, SignaldConfig& c) { v.Read(c.identity.options.issuer); }},
    {{.section = "identity",
      .name = "audiences",
      .type = "an array of strings",
      .standard = "(any)",
      .example = R"(["sotto"])",
      .reloadable = true,
      .meaning = "One of them must be in `aud` of an identity."},
     [](const ConfigValue& v, SignaldConfig& c) { v.ReadAll(c.identity.options.audiences); }},
    {{.section = "identity",
      .name = "development",
      .type = "a boolean",
      .standard = "false",
      .example = "true",
      .meaning = "Gives anybody any identity (`POST /v1/development/identity`), signed with a key "
                 "that the server makes beside its store. On loopback addresses alone."},
     SOTTO_BOOLEAN(identity.development)},
    {{.section = "identity",
      .name = "development_anywhere",
      .type = "a boolean",
      .standard = "false",
      .example = "true",
      .meaning = "Allows `development` on other addresses too: whoever reaches the server can be "
                 "anybody."},
     SOTTO_BOOLEAN(identity.development_anywhere)},

    {{.section = "store",
      .name = "path",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/var/lib/sotto-signald/signald.db\"",
      .required = true,
      .meaning = "The SQLite database, made at the first start. Beside it, with `.key` behind its "
                 "name, the server keeps 32 random bytes of its own: back up both, apart."},
     SOTTO_PATH(store_path)},

    {{.section = "calls",
      .name = "ring_s",
      .type = "an integer",
      .standard = "45",
      .example = "30",
      .meaning = "Seconds after which a call that nobody accepts ends; for every caller, whomever "
                 "they call."},
     SOTTO_INTEGER(service.calls.ring_s, 1, 600)},
    {{.section = "calls",
      .name = "heartbeat_s",
      .type = "an integer",
      .standard = "30",
      .example = "60",
      .meaning = "Clients send something at least as often; one that is silent for twice as long "
                 "loses its connection."},
     SOTTO_INTEGER(service.sessions.heartbeat_s, 1, 3600)},
    {{.section = "calls",
      .name = "resume_s",
      .type = "an integer",
      .standard = "120",
      .example = "60",
      .meaning = "Seconds that a session without a connection is kept."},
     SOTTO_INTEGER(service.sessions.resume_s, 0, kDay)},
    {{.section = "calls",
      .name = "notice_interval_s",
      .type = "an integer",
      .standard = "10",
      .example = "60",
      .meaning = "Seconds between two deliveries of notices to a device that stays connected."},
     SOTTO_INTEGER(service.notice_interval_s, 0, kDay)},
    {{.section = "calls",
      .name = "max_calls",
      .type = "an integer",
      .standard = "100000",
      .example = "20000",
      .meaning = "Calls at a time, placed and connected."},
     SOTTO_INTEGER(service.calls.max_calls, 1, 10 * kMillion)},
    {{.section = "calls",
      .name = "max_placed_per_account",
      .type = "an integer",
      .standard = "8",
      .example = "4",
      .meaning = "Calls that an account may have placed at a time."},
     SOTTO_INTEGER(service.calls.max_placed_per_account, 1, kMillion)},
    {{.section = "calls",
      .name = "max_places_per_minute",
      .type = "an integer",
      .standard = "60",
      .example = "20",
      .meaning = "Calls that an account may place in a minute."},
     SOTTO_INTEGER(service.calls.max_places_per_minute, 1, kMillion)},
    {{.section = "calls",
      .name = "max_ringing_per_account",
      .type = "an integer",
      .standard = "16",
      .example = "4",
      .meaning = "Calls that ring for an account at a time; those beyond are missed."},
     SOTTO_INTEGER(service.calls.max_ringing_per_account, 1, kMillion)},
    {{.section = "calls",
      .name = "max_call_s",
      .type = "an integer",
      .standard = "86400",
      .example = "14400",
      .meaning = "Seconds after which a connected call ends."},
     SOTTO_INTEGER(service.calls.max_call_s, 60, 30 * kDay)},
    {{.section = "calls",
      .name = "credential_s",
      .type = "an integer",
      .standard = "600",
      .example = "120",
      .meaning = "Seconds within which a call's relay credential opens a leg. Less than "
                 "`ring_s` is refused."},
     SOTTO_INTEGER(service.calls.credential_s, 1, kDay)},
    {{.section = "calls",
      .name = "pair_calls",
      .type = "an integer",
      .standard = "10",
      .example = "5",
      .meaning = "Calls from one account to one other within `pair_window_s`; those beyond are "
                 "silenced."},
     SOTTO_INTEGER(decider.pair_calls, 1, kMillion)},
    {{.section = "calls",
      .name = "pair_window_s",
      .type = "an integer",
      .standard = "3600",
      .example = "600",
      .meaning = "The window of `pair_calls`, in seconds."},
     SOTTO_INTEGER(decider.pair_window_s, 1, 30 * kDay)},
    {{.section = "calls",
      .name = "standing_silenced",
      .type = "an integer",
      .standard = "100",
      .example = "20",
      .meaning = "Silenced calls of an account, to whomever, within `standing_window_s`; beyond, "
                 "all its calls are silenced until the window ends."},
     SOTTO_INTEGER(decider.standing_silenced, 1, kMillion)},
    {{.section = "calls",
      .name = "standing_window_s",
      .type = "an integer",
      .standard = "86400",
      .example = "3600",
      .meaning = "The window of `standing_silenced`, in seconds."},
     [](const ConfigValue& v, SignaldConfig& c) {
       v.Read(c.decider.standing_window_s, 1, 30 * kDay);
       c.service.standing_window_s = c.decider.standing_window_s;
     }},

    {{.section = "relay",
      .name = "name",
      .type = "a string",
      .standard = "(none)",
      .example = "\"relay-1\"",
      .required = true,
      .reloadable = true,
      .meaning = "What logs and metrics call the relay."},
     [](const ConfigValue& v, SignaldConfig& c) { v.Read(c.relays.back().name); }},
    {{.section = "relay",
      .name = "control",
      .type = "a string",
      .standard = "(none)",
      .example = "\"unix:/run/sotto/relayd.sock\"",
      .required = true,
      .reloadable = true,
      .meaning = "Where its call control is: `unix:` and the path of its `[admin] socket`, or "
                 "`HOST:PORT`, which needs the three `tls_` keys."},
     [](const ConfigValue& v, SignaldConfig& c) { v.Read(c.relays.back().control); }},
    {{.section = "relay",
      .name = "urls",
      .type = "an array of TURN URLs",
      .standard = "(none)",
      .example = R"(["turn:192.0.2.10:3478?transport=udp"])",
      .required = true,
      .reloadable = true,
      .meaning = "Where clients reach it (RFC 7065)."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadUrls(v, c.relays.back().urls); }},
    {{.section = "relay",
      .name = "secret",
      .type = "a string",
      .standard = "(none)",
      .example = "\"one of its [turn.auth] shared_secrets\"",
      .required = true,
      .reloadable = true,
      .secret = true,
      .meaning = "What credentials are minted with: one of its `[turn.auth] shared_secrets`."},
     [](const ConfigValue& v, SignaldConfig& c) { v.Read(c.relays.back().secret); }},
    {{.section = "relay",
      .name = "tls_ca",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/etc/sotto/relay-ca.pem\"",
      .reloadable = true,
      .meaning = "Whose certificate the relay must have, in PEM."},
     SOTTO_PATH(relays.back().tls_ca)},
    {{.section = "relay",
      .name = "tls_cert",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/etc/sotto/signald.pem\"",
      .reloadable = true,
      .meaning = "This server's certificate, for the relay."},
     SOTTO_PATH(relays.back().tls_cert)},
    {{.section = "relay",
      .name = "tls_key",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/etc/sotto/signald-key.pem\"",
      .reloadable = true,
      .meaning = "Its private key."},
     SOTTO_PATH(relays.back().tls_key)},

    {{.section = "limits",
      .name = "max_connections",
      .type = "an integer",
      .standard = "20000",
      .example = "100000",
      .reloadable = true,
      .meaning = "Connections at a time. Each needs a file descriptor."},
     SOTTO_INTEGER(limits.max_connections, 1, kMillion)},
    {{.section = "limits",
      .name = "max_connections_per_prefix",
      .type = "an integer",
      .standard = "256",
      .example = "32",
      .reloadable = true,
      .meaning = "Connections from one source prefix (IPv4 /32, IPv6 /64) at a time. Four times as "
                 "many may be opened within a minute."},
     SOTTO_INTEGER(limits.max_connections_per_prefix, 1, kMillion)},
    {{.section = "limits",
      .name = "max_sessions",
      .type = "an integer",
      .standard = "20000",
      .example = "100000",
      .reloadable = true,
      .meaning = "Sessions at a time, those that wait to be resumed included."},
     SOTTO_INTEGER(service.sessions.max_sessions, 1, kMillion)},
    {{.section = "limits",
      .name = "frames_per_s",
      .type = "an integer",
      .standard = "50",
      .example = "20",
      .reloadable = true,
      .meaning = "Frames a second that a client may send in the long run; beyond, its session ends "
                 "(4429)."},
     SOTTO_INTEGER(service.sessions.frames_per_s, 1, kMillion)},
    {{.section = "limits",
      .name = "frame_burst",
      .type = "an integer",
      .standard = "200",
      .example = "100",
      .reloadable = true,
      .meaning = "Frames that a client may send at once after a pause."},
     SOTTO_INTEGER(service.sessions.frame_burst, 1, kMillion)},

    {{.section = "admin",
      .name = "socket",
      .type = "a string",
      .standard = "(none)",
      .example = "\"/run/sotto/signald.sock\"",
      .meaning =
          "Unix socket of the admin services, an absolute path. Its folder belongs to the user "
          "that the server runs as. Who may open it is a full operator: accounts, sessions, "
          "tokens."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadSocketPath(v, c.admin.socket); }},
    {{.section = "admin",
      .name = "group",
      .type = "a string",
      .standard = "(that of the user that the server runs as)",
      .example = "\"sotto-admin\"",
      .meaning =
          "The group whose members may open `socket`, and so are full operators; nobody else "
          "may."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadUserName(v, c.admin.group); }},
    {{.section = "admin",
      .name = "listen",
      .type = "an address with a port",
      .standard = "(none)",
      .example = "\"192.0.2.20:9643\"",
      .meaning = "Where the admin services are reached over TCP, with mutual TLS alone: needs the "
                 "three below. Who is let in is a full operator."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadServicePort(v, c.admin.listen); }},
    {{.section = "admin",
      .name = "tls_cert",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/etc/sotto/signald-admin.crt\"",
      .reloadable = true,
      .meaning = "For `listen`: the server's certificate and its chain, in PEM."},
     SOTTO_PATH(admin.tls.cert)},
    {{.section = "admin",
      .name = "tls_key",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/etc/sotto/signald-admin.key\"",
      .reloadable = true,
      .meaning = "For `listen`: the certificate's private key, in PEM."},
     SOTTO_PATH(admin.tls.key)},
    {{.section = "admin",
      .name = "tls_ca",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/etc/sotto/operators-ca.crt\"",
      .reloadable = true,
      .meaning = "For `listen`: the authorities whose clients are let in, all of them, in PEM. Use "
                 "one that signs for nothing else."},
     SOTTO_PATH(admin.tls.ca)},
    {{.section = "metrics",
      .name = "listen",
      .type = "an address with a port",
      .standard = "(none)",
      .example = "\"127.0.0.1:9642\"",
      .meaning = "Where Prometheus fetches metrics, over HTTP. Let nobody else reach it: who can "
                 "place a call and fetch them before and after may tell whether it rang."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadServicePort(v, c.metrics_listen); }},

    {{.section = "process",
      .name = "user",
      .type = "a string",
      .standard = "(sotto, if there is such a user)",
      .example = "\"sotto\"",
      .meaning = "Whom to run as after the start, when started as root. The store and the files "
                 "that a reload reads must be open to that user."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadUserName(v, c.user); }},
    {{.section = "log",
      .name = "level",
      .type = "a string",
      .standard = "\"info\"",
      .example = "\"warning\"",
      .reloadable = true,
      .meaning = "`\"debug\"`, `\"info\"`, `\"warning\"` or `\"error\"`."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadLogLevel(v, c.log.level); }},
    {{.section = "log",
      .name = "format",
      .type = "a string",
      .standard = "\"text\"",
      .example = "\"json\"",
      .reloadable = true,
      .meaning = "`\"text\"`, or `\"json\"`: an object a line."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadLogFormat(v, c.log.format); }},
};
#undef SOTTO_INTEGER
#undef SOTTO_PATH
#undef SOTTO_BOOLEAN

bool IsLoopback(const IpAddress& ip) {
  return ip.is_v4() ? ip.bytes()[0] == 127 : ip.ToString() == "::1";
}

void CheckServer(const SignaldConfig& config, ConfigErrors& errors) {
  const ServerConfig& server = config.server;
  const bool loopback = std::ranges::all_of(
      server.listen, [](const TransportAddress& at) { return IsLoopback(at.ip); });
  std::set<TransportAddress> seen;
  for (size_t i = 0; i < server.listen.size(); ++i) {
    if (server.listen[i].port != 0 && !seen.insert(server.listen[i]).second) {
      errors.Add(errors.LineOf(fmt::format("server.listen#{}", i)),
                 fmt::format("[server] listen: {} is named twice; name each address once.",
                             server.listen[i].ToString()));
    }
  }
  if (!server.tls) {
    if (!loopback) {
      errors.Add(errors.LineOf("server.tls"),
                 "[server] tls: plain HTTP is for development on loopback addresses; listen on "
                 "127.0.0.1 or [::1] alone, or give tls_cert and tls_key.");
    }
    if (!server.tls_cert.empty() || !server.tls_key.empty()) {
      errors.Add(errors.LineOf("server.tls"),
                 "[server] tls: tls_cert and tls_key mean nothing without TLS; leave out one or "
                 "the other.");
    }
  } else {
    if (server.tls_cert.empty()) {
      errors.Add(0,
                 "[server] tls_cert is missing; must be a file, such as "
                 "\"/etc/sotto/cert.pem\".");
    }
    if (server.tls_key.empty()) {
      errors.Add(0,
                 "[server] tls_key is missing; must be a file, such as "
                 "\"/etc/sotto/key.pem\".");
    }
  }
  const IdentityConfig& identity = config.identity;
  if (identity.keys.empty() && !identity.development) {
    errors.Add(0,
               "[identity] keys is missing; must be a file with public keys in PEM, such as "
               "\"/etc/sotto/identity.pem\".");
  }
  if (identity.development && !loopback && !identity.development_anywhere) {
    errors.Add(errors.LineOf("identity.development"),
               "[identity] development: gives anybody any identity, so [server] listen must name "
               "loopback addresses alone (or set development_anywhere = true too, if that is what "
               "you want).");
  }
}

void CheckRelays(const SignaldConfig& config, ConfigErrors& errors) {
  std::set<std::string> names;
  for (size_t i = 0; i < config.relays.size(); ++i) {
    const RelayOptions& relay = config.relays[i];
    const auto fail = [&](std::string_view key, std::string_view what) {
      const uint32_t line = errors.LineOf(fmt::format("relay#{}.{}", i, key));
      errors.Add(line != 0 ? line : errors.LineOf(fmt::format("relay#{}", i)),
                 fmt::format("[relay] {}: {}", key, what));
    };
    if (!names.insert(relay.name).second) {
      fail("name", fmt::format("{} is named twice; give each relay a name of its own.",
                               Quoted(relay.name)));
    }
    if (relay.secret.size() < kMinSecretSize) {
      fail("secret", fmt::format("is too short; must have {} characters at least, as the relay's "
                                 "[turn.auth] shared_secrets.",
                                 kMinSecretSize));
    }
    if (relay.urls.empty()) fail("urls", "names no URL; clients couldn't reach the relay.");
    const bool local = relay.control.starts_with("unix:");
    const int tls = !relay.tls_ca.empty() + !relay.tls_cert.empty() + !relay.tls_key.empty();
    if (local && tls != 0) {
      fail("control",
           "is a Unix socket, which has no TLS; leave out tls_ca, tls_cert and tls_key.");
    }
    if (!local && tls != 3) {
      fail("control", "isn't a Unix socket (unix:/...), so it needs tls_ca, tls_cert and tls_key.");
    }
    if (local ? !relay.control.starts_with("unix:/")
              : relay.control.find(':') == std::string::npos) {
      fail("control", fmt::format("{} is neither \"unix:\" and an absolute path nor "
                                  "\"HOST:PORT\".",
                                  Quoted(relay.control)));
    }
  }
}

void CheckConfig(const SignaldConfig& config, ConfigErrors& errors) {
  CheckServer(config, errors);
  CheckAdmin(config.admin, errors);
  CheckRelays(config, errors);
  if (config.service.calls.credential_s < config.service.calls.ring_s) {
    errors.Add(errors.LineOf("calls.credential_s"),
               "[calls] credential_s is less than ring_s: who is called last couldn't open a leg "
               "any more; make it at least as long.");
  }
}

using Reader = ConfigReader<SignaldConfig>;
const Reader& TheReader() {
  static const RepeatedSectionReader<SignaldConfig> kRepeated[] = {
      {{.name = "relay",
        .most = kMaxRelays,
        .missing = "there is no [[relay]]; calls need one at least, with name, control, urls and "
                   "secret."},
       [](SignaldConfig& config) { config.relays.emplace_back(); }}};
  static const auto* const reader = new Reader(kKeys, kRepeated, CheckConfig);
  return *reader;
}

}  // namespace

absl::StatusOr<SignaldConfig> ParseConfig(std::string_view text, std::string_view name) {
  return TheReader().Parse(text, name, SignaldConfig());
}

absl::StatusOr<SignaldConfig> LoadConfig(const std::string& path) {
  return TheReader().Load(path, SignaldConfig());
}

std::string ConfigReference() { return sotto::ConfigReference(TheReader().schema()); }

const ConfigSchema& SignaldConfigSchema() { return TheReader().schema(); }

}  // namespace sotto::signaling
