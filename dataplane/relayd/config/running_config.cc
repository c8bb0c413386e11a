// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/config/running_config.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "relay/auth/credential.h"
#include "relay/base/text.h"
#include "relay/daemon/certificate_dates.h"
#include "relay/daemon/log.h"
#include "relay/turn/call_name.h"

namespace sotto::dataplane {
namespace {

constexpr size_t kMaxPassword = 1024;
constexpr uint64_t kMaxValid = uint64_t{10} * 366 * 24 * 3600;
constexpr std::string_view kTlsKeys[] = {"tls_ca", "tls_cert", "tls_key"};

std::string Text(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

absl::Status Stopping() {
  return absl::UnavailableError(
      "the relay is stopping, so the change may or may not be saved; check it when the relay runs "
      "again");
}

absl::Status Wrong(const absl::Status& status) { return absl::InvalidArgumentError(Text(status)); }

size_t DigestOf(const TlsPem& pem) {
  return std::hash<std::string>{}(fmt::format("{}\n{}\n{}", pem.ca, pem.cert, pem.key));
}

// What of it is in force once it is reloaded.
RelaydConfig Reloaded(const RelaydConfig& running, const RelaydConfig& wanted) {
  RelaydConfig next = running;
  next.server = running.server.Reloaded(wanted.server);
  next.server.auth.may_be_empty = running.server.auth.may_be_empty;  // goes with init-only `file`
  next.log = wanted.log;
  next.drain_s = wanted.drain_s;
  next.warnings = wanted.warnings;
  next.settings = ReloadedSettings(RelaydConfigSchema(), running.settings, wanted.settings);
  if (running.admin.listen && wanted.admin.listen) {
    next.admin.tls = wanted.admin.tls;
    return next;
  }
  for (const std::string_view key : kTlsKeys) {
    const std::string path = fmt::format("admin.{}", key);
    next.settings.erase(path);
    if (const auto kept = running.settings.find(path); kept != running.settings.end()) {
      next.settings.insert(*kept);
    }
  }
  return next;
}

}  // namespace

RunningConfig::RunningConfig(std::string path, RelaydConfig config, UnixClock clock)
    : path_(std::move(path)),
      clock_(std::move(clock)),
      config_(std::move(config)),
      log_(config_.log) {}

absl::StatusOr<RunningConfig> RunningConfig::Load(std::string path, RelaydConfig config,
                                                  UnixClock clock) {
  // As one that differs in nothing, so that the start and a reload find the same things wrong.
  RunningConfig running(std::move(path), std::move(config), std::move(clock));
  absl::StatusOr<Prepared> prepared = running.Prepare(running.config_);
  if (!prepared.ok()) return Wrong(prepared.status());
  running.config_.warnings = prepared->change.warnings;
  running.kept_ = std::move(prepared->kept);
  if (prepared->tls) running.tls_digest_ = DigestOf(*prepared->tls);
  return running;
}

relay::ServerOptions RunningConfig::OptionsOf(const RelaydConfig& config,
                                              const KeptCredentials& kept) {
  relay::ServerOptions options = config.server;
  options.auth = Merged(config.server.auth, kept);
  return options;
}

absl::StatusOr<KeptCredentials> RunningConfig::ReadKept() const {
  const std::string& path = config_.credential_file;
  if (writing_) {
    // What the file says is about to change to what comes into force then.
    KeptCredentials kept = kept_;
    kept.warnings = {fmt::format(
        "[turn.auth] file: {} is being written, so it was not read; if you edited it, reload "
        "again.",
        path)};
    return kept;
  }
  absl::StatusOr<KeptCredentials> kept = LoadCredentials(path);
  if (!absl::IsNotFound(kept.status())) return kept;
  if (kept_ == KeptCredentials()) return KeptCredentials();
  return absl::InvalidArgumentError(
      fmt::format("[turn.auth] file: {} is missing, and with it the users and secrets in it; "
                  "restore the file, or restart the relay to continue without them",
                  path));
}

absl::StatusOr<RunningConfig::Prepared> RunningConfig::Prepare(const RelaydConfig& wanted) const {
  Prepared prepared{.config = Reloaded(config_, wanted), .kept = {}, .tls = {}, .change = {}};
  ConfigChange& change = prepared.change;
  change.keys = CompareConfigs(RelaydConfigSchema(), config_.settings, wanted.settings);
  change.warnings = wanted.warnings;

  if (!config_.credential_file.empty()) {
    absl::StatusOr<KeptCredentials> kept = ReadKept();
    if (!kept.ok()) return kept.status();
    prepared.kept = *std::move(kept);
    const std::vector<std::string>& more = prepared.kept.warnings;
    change.warnings.insert(change.warnings.end(), more.begin(), more.end());
    if (!(prepared.kept == kept_)) AddKey(change.keys.reloadable, "[turn.auth] file");
    const auto twice = std::ranges::count_if(prepared.kept.users, [&](const auto& user) {
      return prepared.config.server.auth.users.contains(user.first);
    });
    if (twice > 0) {
      change.warnings.push_back(
          fmt::format("{} user{} both in [turn.auth] users and in {}; the configuration takes "
                      "precedence, so remove the other.",
                      twice, twice == 1 ? " is" : "s are", config_.credential_file));
    }
  }

  if (prepared.config.admin.listen) {
    absl::StatusOr<TlsPem> tls = ReadTlsFiles(prepared.config.admin.tls);
    if (!tls.ok()) {
      return absl::Status(tls.status().code(), "[admin] listen: " + Text(tls.status()));
    }
    if (tls->key_readable_by_others) {
      change.warnings.push_back(ReadableByOthersWarning(prepared.config.admin.tls.key));
    }
    const std::vector<std::string> dates =
        TlsDateWarnings("admin", prepared.config.admin.tls, *tls, clock_());
    change.warnings.insert(change.warnings.end(), dates.begin(), dates.end());
    if (DigestOf(*tls) != tls_digest_) AddKey(change.keys.reloadable, "[admin] tls_cert");
    prepared.tls = *std::move(tls);
  } else {
    // They come into force with `listen`, at the next start.
    std::erase_if(change.keys.reloadable, [&](const std::string& key) {
      if (!key.starts_with("[admin] tls_")) return false;
      AddKey(change.keys.init_only, key);
      return true;
    });
  }

  const relay::ServerOptions options = OptionsOf(prepared.config, prepared.kept);
  if (absl::Status valid = options.Validate(); !valid.ok()) {
    return absl::InvalidArgumentError(fmt::format("{}: {}.", path_, Text(valid)));
  }
  if (options.auth.users.empty() && options.auth.shared_secrets.empty()) {
    change.warnings.push_back(
        "There are no users and no shared secrets, so no client can allocate; add some with "
        "sottoctl users add or sottoctl secrets rotate.");
  }
  return prepared;
}

absl::StatusOr<ConfigChange> RunningConfig::Check(const RelaydConfig& wanted) const {
  absl::StatusOr<Prepared> prepared = Prepare(wanted);
  if (!prepared.ok()) return Wrong(prepared.status());
  return std::move(prepared->change);
}

absl::StatusOr<RunningConfig::Prepared> RunningConfig::ReadAgain() const {
  const absl::StatusOr<RelaydConfig> wanted = LoadConfig(path_);
  if (!wanted.ok()) return wanted.status();
  return Prepare(*wanted);
}

absl::StatusOr<ConfigChange> RunningConfig::Reload(relay::Server& server) {
  absl::StatusOr<Prepared> prepared = ReadAgain();
  absl::Status status = prepared.status();
  if (status.ok()) status = server.Reconfigure(OptionsOf(prepared->config, prepared->kept));
  reloaded_ = status.ok();
  if (!status.ok()) {
    LogReloadRefused(status);
    return Wrong(status);
  }
  config_ = std::move(prepared->config);
  kept_ = std::move(prepared->kept);
  log_ = config_.log;
  if (effects_.log) effects_.log(log_);
  if (effects_.limits) effects_.limits(config_.server.limits);
  if (prepared->tls) {
    tls_digest_ = DigestOf(*prepared->tls);
    if (effects_.tls) effects_.tls(*std::move(prepared->tls));
  }
  LogReload(prepared->change);
  return std::move(prepared->change);
}

LogLevel RunningConfig::SetLogLevel(LogLevel level) {
  const LogLevel previous = std::exchange(log_.level, level);
  if (effects_.log) effects_.log(log_);
  return previous;
}

absl::Status RunningConfig::CheckKept(std::string_view what) const {
  if (!config_.credential_file.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("the relay has no file to keep {} in; set [turn.auth] file and restart it, or "
                  "change the configuration and reload",
                  what));
}

void RunningConfig::Keep(relay::Server& server, Change change) {
  if (closed_) return change.done(Stopping());
  changes_.push_back(std::move(change));
  WriteNext(server);
}

void RunningConfig::WriteNext(relay::Server& server) {
  while (!writing_ && !changes_.empty()) {
    absl::StatusOr<KeptCredentials> made = changes_.front().make();
    absl::Status status = made.status();
    if (status.ok()) status = OptionsOf(config_, *made).Validate();
    if (!status.ok()) {
      FinishChange(status);
      continue;
    }
    writing_ = true;
    const auto kept = std::make_shared<const KeptCredentials>(*std::move(made));
    auto write = [path = config_.credential_file, kept] { return SaveCredentials(path, *kept); };
    auto then = [this, kept](relay::Server& s, const absl::Status& written) {
      if (closed_) return;
      writing_ = false;
      FinishChange(OnWritten(s, *kept, written));
      WriteNext(s);
    };
    if (effects_.write) {
      effects_.write(std::move(write), std::move(then));
    } else {
      then(server, write());
    }
  }
}

absl::Status RunningConfig::OnWritten(relay::Server& server, const KeptCredentials& kept,
                                      const absl::Status& written) {
  if (!written.ok() && !absl::IsDataLoss(written)) {
    const bool refused = absl::IsInvalidArgument(written) || absl::IsResourceExhausted(written) ||
                         absl::IsInternal(written);
    return refused ? written : absl::UnavailableError(written.message());
  }
  // What is written is in force, or the next start would bring a surprise.
  kept_ = kept;
  if (absl::Status status = server.Reconfigure(Options()); !status.ok()) return status;
  return written.ok() ? written : absl::UnavailableError(written.message());
}

void RunningConfig::FinishChange(const absl::Status& status) {
  const Change change = std::move(changes_.front());
  changes_.pop_front();
  change.done(status);
}

void RunningConfig::Close() {
  closed_ = true;
  while (!changes_.empty()) FinishChange(Stopping());
}

std::string RunningConfig::RandomText(size_t bytes) {
  std::vector<uint8_t> random(bytes);
  random_->Fill(random);
  std::string text(4 * (bytes + 2) / 3 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<uint8_t*>(text.data()), random.data(),
                                   static_cast<int>(bytes));
  text.resize(static_cast<size_t>(size));
  // base64url (RFC 4648, section 5): fits shells, URLs and TOML as it is.
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  std::erase(text, '=');
  return text;
}

absl::StatusOr<KeptCredentials> RunningConfig::WithUser(const std::string& name,
                                                        const std::string& password) const {
  if (absl::Status status = CheckKept("users"); !status.ok()) return status;
  if (name.empty() || name.size() > relay::kMaxUsernameSize || !IsPlainText(name)) {
    return absl::InvalidArgumentError(
        fmt::format("the name must have 1 to {} bytes of plain UTF-8 without control characters",
                    relay::kMaxUsernameSize));
  }
  if (password.size() > kMaxPassword || !IsPlainText(password)) {
    return absl::InvalidArgumentError(fmt::format(
        "the password must have at most {} bytes of plain UTF-8 without control characters",
        kMaxPassword));
  }
  if (config_.server.auth.users.contains(name)) {
    return absl::FailedPreconditionError(
        fmt::format("user \"{}\" is defined in {}; change it there, and reload", name, path_));
  }
  if (kept_.users.contains(name)) {
    return absl::AlreadyExistsError(
        fmt::format("user \"{}\" already exists; remove it first, or choose another name", name));
  }
  if (kept_.users.size() >= kMaxKeptUsers) {
    return absl::ResourceExhaustedError(
        fmt::format("the relay has {} users, which is its limit; remove some, or use time-limited "
                    "credentials",
                    kept_.users.size()));
  }
  KeptCredentials kept = kept_;
  kept.users.emplace(name, password);
  return kept;
}

absl::StatusOr<KeptCredentials> RunningConfig::WithoutUser(const std::string& name) const {
  if (absl::Status status = CheckKept("users"); !status.ok()) return status;
  if (!kept_.users.contains(name)) {
    if (config_.server.auth.users.contains(name)) {
      return absl::FailedPreconditionError(
          fmt::format("user \"{}\" is defined in {}; remove it there, and reload", name, path_));
    }
    return absl::NotFoundError(fmt::format("there is no user \"{}\"", name));
  }
  KeptCredentials kept = kept_;
  kept.users.erase(name);
  return kept;
}

void RunningConfig::AddUser(relay::Server& server, std::string name, std::string password,
                            Done<std::string> done) {
  const std::string made = password.empty() ? RandomText(18) : std::string();
  if (password.empty()) password = made;
  Keep(server, {.make = [this, name = std::move(name),
                         password = std::move(password)] { return WithUser(name, password); },
                .done =
                    [made, done = std::move(done)](const absl::Status& status) {
                      done(status.ok() ? absl::StatusOr<std::string>(made) : status);
                    }});
}

void RunningConfig::RemoveUser(relay::Server& server, std::string name,
                               std::function<void(const absl::Status&)> done) {
  Keep(server, {.make = [this, name = std::move(name)] { return WithoutUser(name); },
                .done = std::move(done)});
}

void RunningConfig::RotateSecret(relay::Server& server, uint32_t keep, Done<Rotation> done) {
  const auto rotation = std::make_shared<Rotation>();
  const auto make = [=, this]() -> absl::StatusOr<KeptCredentials> {
    if (absl::Status status = CheckKept("secrets"); !status.ok()) return status;
    if (keep >= kMaxKeptSecrets) {
      return absl::InvalidArgumentError(
          fmt::format("keep is {}; must be at most {}", keep, kMaxKeptSecrets - 1));
    }
    rotation->secret = RandomText(32);
    KeptCredentials kept = kept_;
    kept.secrets.insert(kept.secrets.begin(), rotation->secret);
    while (kept.secrets.size() > 1 + std::max(1u, keep)) {
      rotation->dropped.push_back(SecretId(kept.secrets.back()));
      kept.secrets.pop_back();
    }
    return kept;
  };
  Keep(server,
       {.make = make, .done = [rotation, done = std::move(done)](const absl::Status& status) {
          done(status.ok() ? absl::StatusOr<Rotation>(std::move(*rotation)) : status);
        }});
}

absl::StatusOr<RunningConfig::Credential> RunningConfig::Mint(std::string_view name,
                                                              uint64_t valid_s,
                                                              const Now& now) const {
  const relay::ServerOptions options = Options();
  if (options.auth.shared_secrets.empty()) {
    return absl::FailedPreconditionError(
        "there is no shared secret to mint credentials with; create one with sottoctl secrets "
        "rotate, or set [turn.auth] shared_secrets and reload");
  }
  if (valid_s == 0) valid_s = 24 * 3600;
  if (valid_s > kMaxValid) {
    return absl::InvalidArgumentError(
        fmt::format("valid_s is {}; must be at most {} (ten years)", valid_s, kMaxValid));
  }
  if (options.peers.kind == relay::PeerPolicyKind::kCall && !relay::ParseCallName(name)) {
    return absl::InvalidArgumentError(
        "[turn.peers] policy is \"call\", so the name must name a leg: CALL/a or CALL/b");
  }
  Credential credential;
  credential.expires_unix_s = now.unix_s + static_cast<int64_t>(valid_s);
  credential.username = fmt::format("{}:{}", credential.expires_unix_s, name);
  if (name.empty() || credential.username.size() > relay::kMaxUsernameSize || !IsPlainText(name)) {
    return absl::InvalidArgumentError(
        fmt::format("the name must have 1 to {} bytes of plain UTF-8 without control characters",
                    relay::kMaxUsernameSize + name.size() - credential.username.size()));
  }
  credential.password =
      relay::MintTimeLimitedPassword(options.auth.shared_secrets.front(), credential.username);
  for (const TransportAddress& listen : options.listen) {
    credential.urls.push_back(fmt::format("turn:{}?transport=udp", listen.ToString()));
  }
  return credential;
}

}  // namespace sotto::dataplane
