// SPDX-License-Identifier: Apache-2.0
#include "signaling/signald/config/running_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "relay/daemon/certificate_dates.h"
#include "relay/daemon/log.h"

namespace sotto::signaling {
namespace {

std::string Text(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

absl::Status Wrong(const absl::Status& status) { return absl::InvalidArgumentError(Text(status)); }

absl::Status Of(std::string_view key, const absl::Status& status) {
  return {status.code(), fmt::format("{}: {}", key, Text(status))};
}

size_t Digest(std::initializer_list<std::string_view> contents) {
  return std::hash<std::string>{}(fmt::format("{}", fmt::join(contents, "\n")));
}

// A reload in the making: what of `wanted` comes into force.
class Merger {
 public:
  Merger(const SignaldConfig& running, const SignaldConfig& wanted) : running_(running) {
    config = running;
    config.warnings = wanted.warnings;
    config.settings = ReloadedSettings(SignaldConfigSchema(), running.settings, wanted.settings);
    change.keys = CompareConfigs(SignaldConfigSchema(), running.settings, wanted.settings);
    change.warnings = wanted.warnings;

    config.log = wanted.log;
    config.limits = wanted.limits;
    SessionTableOptions& sessions = config.service.sessions;
    sessions.max_sessions = wanted.service.sessions.max_sessions;
    sessions.frames_per_s = wanted.service.sessions.frames_per_s;
    sessions.frame_burst = wanted.service.sessions.frame_burst;
    config.server.web_root = wanted.server.web_root;
    config.server.origins = wanted.server.origins;
    config.identity.options = wanted.identity.options;
    config.relays = wanted.relays;

    // Some keys come into force only with others that don't, at the next start.
    if (running.server.tls && wanted.server.tls) {
      config.server.tls_cert = wanted.server.tls_cert;
      config.server.tls_key = wanted.server.tls_key;
    } else {
      Defer("server", "tls_");
    }
    if (!wanted.identity.keys.empty() || running.identity.development) {
      config.identity.keys = wanted.identity.keys;
    } else {
      Defer("identity", "keys");
    }
    if (running.admin.listen && wanted.admin.listen) {
      config.admin.tls = wanted.admin.tls;
    } else {
      Defer("admin", "tls_");
    }
  }

  SignaldConfig config;
  ConfigChange change;

 private:
  // Keys of the section whose names begin so stay as they are.
  void Defer(std::string_view section, std::string_view name) {
    const std::string key = fmt::format("[{}] {}", section, name);
    std::erase_if(change.keys.reloadable, [&](const std::string& changed) {
      if (!changed.starts_with(key)) return false;
      AddKey(change.keys.init_only, changed);
      return true;
    });
    const auto is_deferred = [&](const std::string& path) {
      const size_t dot = path.find('.');
      return std::string_view(path).substr(0, dot) == section &&
             std::string_view(path).substr(dot + 1).starts_with(name);
    };
    std::erase_if(config.settings, [&](const auto& entry) { return is_deferred(entry.first); });
    for (const auto& entry : running_.settings) {
      if (is_deferred(entry.first)) config.settings.insert(entry);
    }
  }

  const SignaldConfig& running_;
};

}  // namespace

absl::StatusOr<ConfigFiles> ConfigFiles::Load(const SignaldConfig& config, int64_t unix_s) {
  ConfigFiles files;
  const auto look_at = [&](std::string_view section, const TlsFiles& names, const TlsPem& pem) {
    const std::vector<std::string> dates = TlsDateWarnings(section, names, pem, unix_s);
    files.warnings.insert(files.warnings.end(), dates.begin(), dates.end());
  };
  if (!config.identity.keys.empty()) {
    const absl::StatusOr<ConfigText> pem =
        ReadConfigFile(config.identity.keys, "name another file, or let this user read it");
    if (!pem.ok()) return Of("[identity] keys", pem.status());
    absl::StatusOr<IdentityKeys> keys =
        IdentityKeys::Parse(pem->text, "[identity] keys: " + config.identity.keys);
    if (!keys.ok()) return keys.status();
    files.keys = *std::move(keys);
    files.keys_digest = Digest({pem->text});
  }
  if (config.server.tls) {
    auto tls = TlsContext::Load(config.server.tls_cert, config.server.tls_key);
    if (!tls.ok()) return tls.status();
    files.tls = *std::move(tls);
    const auto cert = ReadConfigFile(config.server.tls_cert);
    const auto key = ReadConfigFile(config.server.tls_key);
    if (cert.ok() && key.ok()) files.tls_digest = Digest({cert->text, key->text});
    if (cert.ok()) {
      look_at("server", {.ca = {}, .cert = config.server.tls_cert, .key = {}},
              {.ca = {}, .cert = cert->text, .key = {}});
    }
  }
  if (!config.server.web_root.empty()) {
    auto root = WebRoot::Load(config.server.web_root);
    if (!root.ok()) return root.status();
    files.web_root = *std::move(root);
  }
  if (config.admin.listen) {
    absl::StatusOr<TlsPem> tls = ReadTlsFiles(config.admin.tls);
    if (!tls.ok()) return Of("[admin] listen", tls.status());
    files.admin_tls_digest = Digest({tls->ca, tls->cert, tls->key});
    look_at("admin", config.admin.tls, *tls);
    if (tls->key_readable_by_others) {
      files.warnings.push_back(ReadableByOthersWarning(config.admin.tls.key));
    }
    files.admin_tls = *std::move(tls);
  }
  absl::StatusOr<std::vector<RelayEndpoint>> relays = LoadRelays(config.relays);
  if (!relays.ok()) return relays.status();
  for (const auto& [options, tls] : *relays) {
    look_at("relay", {.ca = options.tls_ca, .cert = options.tls_cert, .key = options.tls_key}, tls);
    files.relays_tls_digest =
        Digest({std::to_string(files.relays_tls_digest), tls.ca, tls.cert, tls.key});
  }
  files.relays = *std::move(relays);
  return files;
}

RunningConfig::RunningConfig(std::string path, SignaldConfig config, const ConfigFiles& files,
                             UnixClock clock)
    : path_(std::move(path)),
      clock_(std::move(clock)),
      config_(std::move(config)),
      log_(config_.log) {
  Remember(files);
}

void RunningConfig::Remember(const ConfigFiles& files) {
  keys_digest_ = files.keys_digest;
  tls_digest_ = files.tls_digest;
  admin_tls_digest_ = files.admin_tls_digest;
  relays_tls_digest_ = files.relays_tls_digest;
}

absl::StatusOr<RunningConfig::Prepared> RunningConfig::Prepare(const SignaldConfig& wanted) const {
  Merger merged(config_, wanted);
  absl::StatusOr<ConfigFiles> files = ConfigFiles::Load(merged.config, clock_());
  if (!files.ok()) return files.status();
  std::vector<std::string>& reloadable = merged.change.keys.reloadable;
  if (files->keys_digest != keys_digest_) AddKey(reloadable, "[identity] keys");
  if (files->tls_digest != tls_digest_) AddKey(reloadable, "[server] tls_cert");
  if (files->admin_tls_digest != admin_tls_digest_) AddKey(reloadable, "[admin] tls_cert");
  // Where the list itself has changed, that is what is said.
  if (files->relays_tls_digest != relays_tls_digest_ && config_.relays == merged.config.relays) {
    AddKey(reloadable, "[relay] tls_cert");
  }
  std::vector<std::string>& warnings = merged.change.warnings;
  warnings.insert(warnings.end(), files->warnings.begin(), files->warnings.end());
  return Prepared{std::move(merged.config), *std::move(files), std::move(merged.change)};
}

absl::StatusOr<ConfigChange> RunningConfig::Check(const SignaldConfig& wanted) const {
  absl::StatusOr<Prepared> prepared = Prepare(wanted);
  if (!prepared.ok()) return Wrong(prepared.status());
  return std::move(prepared->change);
}

absl::StatusOr<ConfigChange> RunningConfig::Reload() {
  const absl::StatusOr<SignaldConfig> wanted = LoadConfig(path_);
  absl::StatusOr<Prepared> prepared =
      wanted.ok() ? Prepare(*wanted) : absl::StatusOr<Prepared>(wanted.status());
  if (!prepared.ok()) {
    LogReloadRefused(prepared.status());
    return Wrong(prepared.status());
  }
  config_ = std::move(prepared->config);
  Remember(prepared->files);
  log_ = config_.log;
  effects_.log(log_);
  effects_.all(config_, std::move(prepared->files));
  LogReload(prepared->change);
  return std::move(prepared->change);
}

LogLevel RunningConfig::SetLogLevel(LogLevel level) {
  const LogLevel previous = std::exchange(log_.level, level);
  effects_.log(log_);
  return previous;
}

}  // namespace sotto::signaling
