// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/App.hpp>
#include <algorithm>
#include <charconv>

#include "relay/base/ip_address.h"
#include "tools/sottoctl/units.h"

namespace sotto::tools {
namespace {

// The option's name as it is spoken of: "--user", or a positional's own.
std::string Spoken(const std::string& name) { return name.substr(name.rfind(',') + 1); }

}  // namespace

void AddArgument(CLI::App& app, const std::string& name, std::string& value,
                 const std::string& about) {
  app.add_option(name, value, about)->required()->type_name("");
}

void AddFile(CLI::App& app, const std::string& name, std::string& value, const std::string& about) {
  app.add_option(name, value, about)->type_name("FILE");
}

void AddFlag(CLI::App& app, const std::string& name, bool& value, const std::string& about) {
  app.add_flag(name, value, about);
}

void AddFlag(CLI::App& app, const std::string& name, std::function<void()> set,
             const std::string& about) {
  app.add_flag_callback(name, std::move(set), about);
}

void AddWords(CLI::App& app, const std::string& name, const std::string& kind,
              std::function<void(const std::vector<std::string>&)> set, const std::string& about) {
  app.add_option_function<std::vector<std::string>>(name, std::move(set), about)->type_name(kind);
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
          RefuseOption(
              Spoken(name),
              most == UINT64_MAX
                  ? fmt::format("\"{}\" is not a number from {} up", text, least)
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
        if (!duration.ok()) RefuseOption(Spoken(name), std::string(duration.status().message()));
        if (duration->count() == 0 || duration->count() % 1000 != 0) {
          RefuseOption(Spoken(name),
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
          RefuseOption(Spoken(name),
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
          RefuseOption(
              Spoken(name),
              fmt::format("\"{}\" is neither an address (192.0.2.7, 2001:db8::7) nor a prefix "
                          "(192.0.2.0/24){}",
                          text, transport ? ", nor address and port (192.0.2.7:5000)" : ""));
        }
        set(text);
      },
      about);
}

void Require(CLI::App& app, const std::string& name) { app.get_option(name)->required(); }

void RequireOneOf(CLI::App& app, const std::vector<std::string>& names, const std::string& spoken) {
  std::vector<const CLI::Option*> options;
  for (const std::string& name : names) options.push_back(app.get_option(name));
  app.parse_complete_callback([options, spoken] {
    if (std::ranges::all_of(options, &CLI::Option::empty)) throw CLI::RequiredError(spoken);
  });
}

void Needs(CLI::App& app, const std::string& name, const std::string& other) {
  app.get_option(name)->needs(app.get_option(other));
}

void Excludes(CLI::App& app, const std::string& name, const std::string& other) {
  app.get_option(name)->excludes(app.get_option(other));
}

void SetFooter(CLI::App& app, const std::string& text) { app.footer(text); }

void RefuseOption(const std::string& name, std::string_view why) {
  throw CLI::ValidationError(name, std::string(why));
}

}  // namespace sotto::tools
