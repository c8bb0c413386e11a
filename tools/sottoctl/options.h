// SPDX-License-Identifier: Apache-2.0
// What a command takes on its command line. CLI11 stays behind this header: each file that includes
// it compiles all of it anew.
//
// Values that are bound by reference must live as long as the tree of commands.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace sotto::tools {

// A positional that must be given.
void AddArgument(CLI::App& app, const std::string& name, std::string& value,
                 const std::string& about);
// An option, or a positional that may be left out.
void AddFile(CLI::App& app, const std::string& name, std::string& value, const std::string& about);
void AddFlag(CLI::App& app, const std::string& name, bool& value, const std::string& about);
void AddFlag(CLI::App& app, const std::string& name, std::function<void()> set,
             const std::string& about);
// An option with one or more words.
void AddWords(CLI::App& app, const std::string& name, const std::string& kind,
              std::function<void(const std::vector<std::string>&)> set, const std::string& about);

// Options whose values are checked as the command line is read. `set` is called with a value that
// is right. `kind` is what help calls it.
void AddText(CLI::App& app, const std::string& name, const std::string& kind,
             std::function<void(const std::string&)> set, const std::string& about);
void AddNumber(CLI::App& app, const std::string& name, const std::string& kind, uint64_t least,
               uint64_t most, std::function<void(uint64_t)> set, const std::string& about);
// In whole seconds from 1 on.
void AddSeconds(CLI::App& app, const std::string& name, std::function<void(uint64_t)> set,
                const std::string& about);
// One of `words`, which completion knows from then on.
void AddChoice(CLI::App& app, const std::string& name, const std::vector<std::string>& words,
               std::function<void(const std::string&)> set, const std::string& about);
// IP address, prefix, or address:port, which is handed on as it was written.
enum class AddressForm { kHost, kHostOrTransport };
void AddAddress(CLI::App& app, const std::string& name, AddressForm form,
                std::function<void(const std::string&)> set, const std::string& about);

// Of options that were added: which must be given, and which only with or without another one.
void Require(CLI::App& app, const std::string& name);
void RequireOneOf(CLI::App& app, const std::vector<std::string>& names, const std::string& spoken);
void Needs(CLI::App& app, const std::string& name, const std::string& other);
void Excludes(CLI::App& app, const std::string& name, const std::string& other);

// The end of the command's help: paragraphs, and examples in lines that start with two spaces.
void SetFooter(CLI::App& app, const std::string& text);

// Called while options are read: this one's value isn't accepted, which ends the program with a
// usage error.
[[noreturn]] void RefuseOption(const std::string& name, std::string_view why);

}  // namespace sotto::tools
