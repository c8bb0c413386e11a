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
          fmt::format("{} is not an origin; must be a scheme, a host and optionally a port, such "
                      "as \"https://app.example.org\".",
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
          fmt::format("{} is not a TURN URL (RFC 7065); must be such as "
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
    value.Fail(fmt::format("has no addresses; must be such as {}.", value.key().example));
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
      .meaning = "Addresses on which the server accepts clients. An IPv6 address accepts only "
                 "IPv6."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadListen(v, c.server.listen); }},
    {{.section = "server",
      .name = "tls_cert",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/etc/sotto/cert.pem\"",
      .reloadable = true,
      .meaning = "The server's certificate with its chain, in PEM. Read again on reload."},
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
      .meaning = "`false` serves plain HTTP, which is possible only on loopback addresses: for "
                 "development, as browsers trust `http://localhost`."},
     SOTTO_BOOLEAN(server.tls)},
    {{.section = "server",
      .name = "web_root",
      .type = "a folder",
      .standard = "(none)",
      .example = "\"/usr/share/sotto/web\"",
      .reloadable = true,
      .meaning = "Folder of the web client, served at `/`; read into memory at start and on "
                 "reload."},
     SOTTO_PATH(server.web_root)},
    {{.section = "server",
      .name = "origins",
      .type = "an array of origins",
      .standard = "[]",
      .example = R"(["https://app.example.org"])",
      .reloadable = true,
      .meaning = "Origins (RFC 6454), besides this server's own, whose pages may connect."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadOrigins(v, c.server.origins); }},

    {{.section = "identity",
      .name = "keys",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/etc/sotto/identity.pem\"",
      .reloadable = true,
      .meaning = "File with the public keys of identities (JWTs), in PEM: EC P-256 for ES256, RSA "
                 "of 2048 bits or more for RS256. Read again on reload; if it has an error, the "
                 "old keys stay in force."},
     SOTTO_PATH(identity.keys)},
    {{.section = "identity",
      .name = "issuer",
      .type = "a string",
      .standard = "(any)",
      .example = "\"https://login.example.org\"",
      .reloadable = true,
      .meaning = "The `iss` that identities must have."},
     [](const ConfigValue& v, SignaldConfig& c) { v.Read(c.identity.options.issuer); }},
    {{.section = "identity",
      .name = "audiences",
      .type = "an array of strings",
      .standard = "(any)",
      .example = R"(["sotto"])",
      .reloadable = true,
      .meaning = "Identities must have one of these in `aud`."},
     [](const ConfigValue& v, SignaldConfig& c) { v.ReadAll(c.identity.options.audiences); }},
    {{.section = "identity",
      .name = "development",
      .type = "a boolean",
      .standard = "false",
      .example = "true",
      .meaning = "Issues any identity to anyone (`POST /v1/development/identity`), signed with a "
                 "key that the server generates beside its store. Only on loopback addresses."},
     SOTTO_BOOLEAN(identity.development)},
    {{.section = "identity",
      .name = "development_anywhere",
      .type = "a boolean",
      .standard = "false",
      .example = "true",
      .meaning = "Allows `development` on other addresses too: anyone who can reach the server can "
                 "sign in as any account."},
     SOTTO_BOOLEAN(identity.development_anywhere)},

    {{.section = "store",
      .name = "path",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/var/lib/sotto-signald/signald.db\"",
      .required = true,
      .meaning = "The SQLite database, created at the first start. Beside it, in a file with "
                 "`.key` added to the name, the server keeps a 32-byte key: back up both, in "
                 "different places."},
     SOTTO_PATH(store_path)},

    {{.section = "calls",
      .name = "ring_s",
      .type = "an integer",
      .standard = "45",
      .example = "30",
      .meaning = "Seconds after which a call ends if it is not accepted; the same for every caller "
                 "and recipient."},
     SOTTO_INTEGER(service.calls.ring_s, 1, 600)},
    {{.section = "calls",
      .name = "heartbeat_s",
      .type = "an integer",
      .standard = "30",
      .example = "60",
      .meaning = "Clients must send a frame at least this often, in seconds. After twice as long "
                 "without a frame, the server closes the connection."},
     SOTTO_INTEGER(service.sessions.heartbeat_s, 1, 3600)},
    {{.section = "calls",
      .name = "resume_s",
      .type = "an integer",
      .standard = "120",
      .example = "60",
      .meaning = "Seconds for which the server keeps a session that has no connection."},
     SOTTO_INTEGER(service.sessions.resume_s, 0, kDay)},
    {{.section = "calls",
      .name = "notice_interval_s",
      .type = "an integer",
      .standard = "10",
      .example = "60",
      .meaning = "Least number of seconds between two deliveries of notices to a connected "
                 "device."},
     SOTTO_INTEGER(service.notice_interval_s, 0, kDay)},
    {{.section = "calls",
      .name = "max_calls",
      .type = "an integer",
      .standard = "100000",
      .example = "20000",
      .meaning = "Maximum number of calls at a time, placed and connected."},
     SOTTO_INTEGER(service.calls.max_calls, 1, 10 * kMillion)},
    {{.section = "calls",
      .name = "max_placed_per_account",
      .type = "an integer",
      .standard = "8",
      .example = "4",
      .meaning = "Maximum number of calls that an account has placed at a time."},
     SOTTO_INTEGER(service.calls.max_placed_per_account, 1, kMillion)},
    {{.section = "calls",
      .name = "max_places_per_minute",
      .type = "an integer",
      .standard = "60",
      .example = "20",
      .meaning = "Maximum number of calls that an account may place in a minute."},
     SOTTO_INTEGER(service.calls.max_places_per_minute, 1, kMillion)},
    {{.section = "calls",
      .name = "max_ringing_per_account",
      .type = "an integer",
      .standard = "16",
      .example = "4",
      .meaning = "Maximum number of calls that ring for an account at a time; further calls count "
                 "as missed."},
     SOTTO_INTEGER(service.calls.max_ringing_per_account, 1, kMillion)},
    {{.section = "calls",
      .name = "max_call_s",
      .type = "an integer",
      .standard = "86400",
      .example = "14400",
      .meaning = "Longest duration of a connected call, in seconds."},
     SOTTO_INTEGER(service.calls.max_call_s, 60, 30 * kDay)},
    {{.section = "calls",
      .name = "credential_s",
      .type = "an integer",
      .standard = "600",
      .example = "120",
      .meaning = "Seconds for which a call's relay credential can open a leg. Must be at least "
                 "`ring_s`."},
     SOTTO_INTEGER(service.calls.credential_s, 1, kDay)},
    {{.section = "calls",
      .name = "pair_calls",
      .type = "an integer",
      .standard = "10",
      .example = "5",
      .meaning = "Maximum number of calls from one account to another within `pair_window_s`; "
                 "further calls are silenced."},
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
      .meaning = "Maximum number of an account's calls, to all recipients, that may be silenced "
                 "within `standing_window_s`. Above it, all its calls are silenced until the "
                 "window ends."},
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
      .meaning = "Name of the relay in logs and metrics."},
     [](const ConfigValue& v, SignaldConfig& c) { v.Read(c.relays.back().name); }},
    {{.section = "relay",
      .name = "control",
      .type = "a string",
      .standard = "(none)",
      .example = "\"unix:/run/sotto/relayd.sock\"",
      .required = true,
      .reloadable = true,
      .meaning = "Address of its call control: `unix:` and the path of its `[admin] socket`, or "
                 "`HOST:PORT`, which needs the three `tls_` keys."},
     [](const ConfigValue& v, SignaldConfig& c) { v.Read(c.relays.back().control); }},
    {{.section = "relay",
      .name = "urls",
      .type = "an array of TURN URLs",
      .standard = "(none)",
      .example = R"(["turn:192.0.2.10:3478?transport=udp"])",
      .required = true,
      .reloadable = true,
      .meaning = "URLs at which clients reach the relay (RFC 7065)."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadUrls(v, c.relays.back().urls); }},
    {{.section = "relay",
      .name = "secret",
      .type = "a string",
      .standard = "(none)",
      .example = "\"one of its [turn.auth] shared_secrets\"",
      .required = true,
      .reloadable = true,
      .secret = true,
      .meaning = "Secret that credentials are minted with: one of the relay's `[turn.auth] "
                 "shared_secrets`."},
     [](const ConfigValue& v, SignaldConfig& c) { v.Read(c.relays.back().secret); }},
    {{.section = "relay",
      .name = "tls_ca",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/etc/sotto/relay-ca.pem\"",
      .reloadable = true,
      .meaning = "Authorities that must have issued the relay's certificate, in PEM."},
     SOTTO_PATH(relays.back().tls_ca)},
    {{.section = "relay",
      .name = "tls_cert",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/etc/sotto/signald.pem\"",
      .reloadable = true,
      .meaning = "The certificate that this server presents to the relay, in PEM."},
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
      .meaning = "Maximum number of connections at a time. Each needs a file descriptor."},
     SOTTO_INTEGER(limits.max_connections, 1, kMillion)},
    {{.section = "limits",
      .name = "max_connections_per_prefix",
      .type = "an integer",
      .standard = "256",
      .example = "32",
      .reloadable = true,
      .meaning = "Maximum number of connections at a time from one source prefix (IPv4 /32, IPv6 "
                 "/64). Four times as many may be opened within a minute."},
     SOTTO_INTEGER(limits.max_connections_per_prefix, 1, kMillion)},
    {{.section = "limits",
      .name = "max_sessions",
      .type = "an integer",
      .standard = "20000",
      .example = "100000",
      .reloadable = true,
      .meaning = "Maximum number of sessions at a time, including those that wait to be resumed."},
     SOTTO_INTEGER(service.sessions.max_sessions, 1, kMillion)},
    {{.section = "limits",
      .name = "frames_per_s",
      .type = "an integer",
      .standard = "50",
      .example = "20",
      .reloadable = true,
      .meaning = "Frames per second that a client may send on average; a client that sends more "
                 "loses its session (4429)."},
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
          "Unix socket of the admin services, an absolute path. The user that the server runs as "
          "must be able to write to its folder. Everyone who can open it is a full operator: "
          "accounts, sessions, tokens."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadSocketPath(v, c.admin.socket); }},
    {{.section = "admin",
      .name = "group",
      .type = "a string",
      .standard = "(group of the user that the server runs as)",
      .example = "\"sotto-admin\"",
      .meaning =
          "The group whose members may open `socket`, and so are full operators. No other user "
          "may."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadUserName(v, c.admin.group); }},
    {{.section = "admin",
      .name = "listen",
      .type = "an address with a port",
      .standard = "(none)",
      .example = "\"192.0.2.20:9643\"",
      .meaning = "Address of the admin services over TCP. It always uses mutual TLS, so it needs "
                 "the next three keys. Every client that is accepted is a full operator."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadServicePort(v, c.admin.listen); }},
    {{.section = "admin",
      .name = "tls_cert",
      .type = "a file",
      .standard = "(none)",
      .example = "\"/etc/sotto/signald-admin.crt\"",
      .reloadable = true,
      .meaning = "For `listen`: the server's certificate with its chain, in PEM."},
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
      .meaning = "For `listen`: authorities, in PEM. Every client with a certificate of theirs is "
                 "accepted, so use an authority that signs nothing else."},
     SOTTO_PATH(admin.tls.ca)},
    {{.section = "metrics",
      .name = "listen",
      .type = "an address with a port",
      .standard = "(none)",
      .example = "\"127.0.0.1:9642\"",
      .meaning = "Address on which Prometheus fetches metrics, over HTTP. Nobody else must reach "
                 "it: a caller who fetches metrics before and after a call may be able to tell "
                 "whether it rang."},
     [](const ConfigValue& v, SignaldConfig& c) { ReadServicePort(v, c.metrics_listen); }},

    {{.section = "process",
      .name = "user",
      .type = "a string",
      .standard = "(sotto, if that user exists)",
      .example = "\"sotto\"",
      .meaning = "The user to run as after the start, when started as root. That user must be able "
                 "to read and write the store, and to read the files that a reload reads."},
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
      .meaning = "`\"text\"`, or `\"json\"`: one object per line."},
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
                 fmt::format("[server] listen: {} occurs twice; remove one.",
                             server.listen[i].ToString()));
    }
  }
  if (!server.tls) {
    if (!loopback) {
      errors.Add(errors.LineOf("server.tls"),
                 "[server] tls: plain HTTP is only for development on loopback addresses; listen "
                 "only on 127.0.0.1 or [::1], or use TLS with tls_cert and tls_key.");
    }
    if (!server.tls_cert.empty() || !server.tls_key.empty()) {
      errors.Add(errors.LineOf("server.tls"),
                 "[server] tls: tls_cert and tls_key have no effect without TLS; remove them, or "
                 "remove tls = false.");
    }
  } else {
    if (server.tls_cert.empty()) {
      errors.Add(0,
                 "[server] tls_cert is missing; must be a file, such as \"/etc/sotto/cert.pem\".");
    }
    if (server.tls_key.empty()) {
      errors.Add(0, "[server] tls_key is missing; must be a file, such as \"/etc/sotto/key.pem\".");
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
               "[identity] development: issues any identity to anyone, so [server] listen must "
               "have only loopback addresses (or set development_anywhere = true too, if you "
               "really want this).");
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
      fail("name",
           fmt::format("{} is used twice; give each relay its own name.", Quoted(relay.name)));
    }
    if (relay.secret.size() < kMinSecretSize) {
      fail("secret", fmt::format("is too short; must have at least {} characters, like the relay's "
                                 "[turn.auth] shared_secrets.",
                                 kMinSecretSize));
    }
    if (relay.urls.empty())
      fail("urls", "has no URL, so clients could not reach the relay; add at least one.");
    const bool local = relay.control.starts_with("unix:");
    const int tls = !relay.tls_ca.empty() + !relay.tls_cert.empty() + !relay.tls_key.empty();
    if (local && tls != 0) {
      fail("control",
           "is a Unix socket, which does not use TLS; remove tls_ca, tls_cert and tls_key.");
    }
    if (!local && tls != 3) {
      fail("control",
           "is not a Unix socket (unix:/...), so it needs tls_ca, tls_cert and tls_key.");
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
               "[calls] credential_s is less than ring_s, so a recipient who answers late could "
               "not open a leg; make it at least as long.");
  }
}

using Reader = ConfigReader<SignaldConfig>;
const Reader& TheReader() {
  static const RepeatedSectionReader<SignaldConfig> kRepeated[] = {
      {{.name = "relay",
        .most = kMaxRelays,
        .missing = "there is no [[relay]]; add at least one, with name, control, urls and "
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
