// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/command.h"

#include <fmt/format.h>

#include <CLI/Error.hpp>
#include <algorithm>
#include <charconv>

#include "relay/base/ip_address.h"
#include "tools/sottoctl/units.h"

namespace sotto::tools {
namespace {

[[noreturn]] void Refuse(const std::string& option, std::string_view why) {
  throw CLI::ValidationError(option, std::string(why));
}

// The option's name as it is spoken of: "--user", or a positional's own.
std::string Spoken(const std::string& name) { return name.substr(name.rfind(',') + 1); }

}  // namespace

CLI::App& Commands::Group(const std::string& name, const std::string& about,
                          const std::string& heading) {
  CLI::App* group = app_.add_subcommand(name, about)->group(heading);
  group->require_subcommand(1);
  return *group;
}

CLI::App& Commands::Add(const std::string& name, const std::string& about,
                        const std::string& heading, DaemonKind kind, Command command) {
  CLI::App& app = AddTo(app_, name, about, kind, std::move(command));
  app.group(heading);
  return app;
}

CLI::App& Commands::AddTo(CLI::App& group, const std::string& name, const std::string& about,
                          DaemonKind kind, Command command) {
  CLI::App& app = *group.add_subcommand(name, about)->group("Commands");
  Runs(app, kind, std::move(command));
  return app;
}

void Commands::Runs(CLI::App& app, DaemonKind kind, Command command) {
  // A command within another one is chosen first.
  app.final_callback([this, kind, command = std::move(command)] {
    if (chosen_) return;
    chosen_ = command;
    kind_ = kind;
  });
}

void AddText(CLI::App& app, const std::string& name, const std::string& kind,
             std::function<void(const std::string&)> set, const std::string& about) {
  app.add_option_function<std::string>(name, std::move(set), about)->type_name(kind);
}

void AddNumber(CLI::App& app, const std::string& name, const std::string& kind, uint64_t least,
               uint64_t most, std::function<void(uint64_t)> set, const std::string& about) {
  AddText(
      app, name, kind,
      [=](const std::string& text) {
        uint64_t number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error != std::errc() || end != text.data() + text.size() || number < least ||
            number > most) {
          Refuse(Spoken(name),
                 most == UINT64_MAX
                     ? fmt::format("\"{}\" is not a number; must be at least {}", text, least)
                     : fmt::format("\"{}\" is not a number from {} to {}", text, least, most));
        }
        set(number);
      },
      about);
}

void AddSeconds(CLI::App& app, const std::string& name, std::function<void(uint64_t)> set,
                const std::string& about) {
  AddText(
      app, name, "DURATION",
      [=](const std::string& text) {
        const auto duration = ParseDuration(text);
        if (!duration.ok()) Refuse(Spoken(name), std::string(duration.status().message()));
        if (duration->count() == 0 || duration->count() % 1000 != 0) {
          Refuse(Spoken(name),
                 fmt::format("\"{}\" is not a number of whole seconds above 0", text));
        }
        set(static_cast<uint64_t>(duration->count() / 1000));
      },
      about);
}

void AddChoice(CLI::App& app, const std::string& name, const std::vector<std::string>& words,
               std::function<void(const std::string&)> set, const std::string& about) {
  const std::string kind = fmt::format("{}", fmt::join(words, "|"));
  AddText(
      app, name, kind,
      [=](const std::string& text) {
        if (std::ranges::find(words, text) == words.end()) {
          Refuse(Spoken(name),
                 fmt::format("\"{}\" is not one of {}", text, fmt::join(words, ", ")));
        }
        set(text);
      },
      about);
}

void AddAddress(CLI::App& app, const std::string& name, AddressForm form,
                std::function<void(const std::string&)> set, const std::string& about) {
  const bool transport = form == AddressForm::kHostOrTransport;
  AddText(
      app, name, "ADDRESS",
      [=](const std::string& text) {
        if (!IpPrefix::Parse(text).ok() && !(transport && TransportAddress::Parse(text).ok())) {
          Refuse(Spoken(name),
                 fmt::format("\"{}\" is neither an address (192.0.2.7, 2001:db8::7) nor a prefix "
                             "(192.0.2.0/24){}",
                             text, transport ? ", nor address and port (192.0.2.7:5000)" : ""));
        }
        set(text);
      },
      about);
}

}  // namespace sotto::tools
