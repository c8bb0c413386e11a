// SPDX-License-Identifier: Apache-2.0
// The help of every command, against testdata/help.txt; SOTTO_UPDATE_GOLDEN=1 writes it anew.
#include "tools/sottoctl/help.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tools/sottoctl/run_sottoctl.h"
#include "tools/sottoctl/units.h"

namespace sotto::tools {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using Words = std::vector<std::string>;

std::string Joined(const Words& command) {
  return fmt::format("sottoctl{}{}", command.empty() ? "" : " ", fmt::join(command, " "));
}

std::string Help(Words command) {
  command.push_back("--help");
  Runner runner;
  const Ran ran = runner.Run(command);
  EXPECT_EQ(ran.code, kExitDone) << Joined(command) << ran.err;
  return ran.out;
}

// The commands that a help text lists: entries under the headings before these.
Words Listed(const std::string& help) {
  Words names;
  bool commands = false;
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    if (line == "Options:" || line == "Arguments:") break;
    if (line.ends_with(':') && !line.starts_with(' ')) commands = true;
    if (commands && line.starts_with("  ") && line[2] != ' ') {
      names.push_back(line.substr(2, line.find(' ', 2) - 2));
    }
  }
  return names;
}

// All commands, groups first.
void Collect(const Words& command, std::vector<Words>& all) {
  all.push_back(command);
  for (const std::string& name : Listed(Help(command))) {
    Words longer = command;
    longer.push_back(name);
    Collect(longer, all);
  }
}

std::vector<Words> AllCommands() {
  std::vector<Words> all;
  Collect({}, all);
  return all;
}

TEST(HelpTest, EveryCommandSaysWhatItDoes) {
  std::string text;
  for (const Words& command : AllCommands()) {
    text += fmt::format("$ {} --help\n{}\n", Joined(command), Help(command));
  }
  const std::string path = SOTTO_SOTTOCTL_SOURCES "/testdata/help.txt";
  if (std::getenv("SOTTO_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::ifstream file(path);
  const std::string golden(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(text, golden) << "if that is meant: SOTTO_UPDATE_GOLDEN=1";
}

TEST(HelpTest, NoLineIsLongerThanATerminal) {
  for (const Words& command : AllCommands()) {
    std::istringstream lines(Help(command));
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(DisplayWidth(line), 80u) << Joined(command) << ": " << line;
    }
  }
}

TEST(HelpTest, TheManPageAndCompletionsHaveEveryCommand) {
  Runner runner;
  std::string man = runner.Run({"generate", "man"}).out;
  for (size_t at; (at = man.find("\\-")) != std::string::npos;) man.erase(at, 1);
  const std::string bash = runner.Run({"generate", "bash"}).out;
  const std::string zsh = runner.Run({"generate", "zsh"}).out;
  const auto commands = AllCommands();
  EXPECT_GT(commands.size(), 40u);
  for (const Words& command : commands) {
    if (command.empty()) continue;
    const std::string path = fmt::format("{}", fmt::join(command, " "));
    if (Listed(Help(command)).empty()) {
      EXPECT_THAT(man, HasSubstr(".SS \"" + path));
    }
    EXPECT_THAT(bash, HasSubstr("\"" + path + "\""));
    EXPECT_THAT(zsh, HasSubstr("_sottoctl_" + fmt::format("{}", fmt::join(command, "_")) + "() {"));
  }
  EXPECT_THAT(Help({}), Not(HasSubstr("generate"))) << "it is for packages";
}

TEST(HelpTest, MistakesOnTheCommandLineAreNamed) {
  Runner runner;
  for (const auto& [arguments, what] : std::vector<std::pair<Words, std::string>>{
           {{}, "A subcommand is required"},
           {{"frobnicate"}, "there is no command \"frobnicate\""},
           {{"allocations", "lst"}, "there is no command \"lst\""},
           {{"allocations"}, "A subcommand is required"},
           {{"allocations", "show"}, "ID"},
           {{"allocations", "show", "x"}, "\"x\" is not a number"},
           {{"allocations", "list", "--client", "somewhere"},
            "\"somewhere\" is neither an address"},
           {{"allocations", "list", "--min-age", "soon"}, "\"soon\" is no duration"},
           {{"allocations", "list", "--min-age", "500ms"}, "whole seconds"},
           {{"allocations", "list", "--limit", "0"}, "from 1"},
           {{"status", "-o", "xml"}, "\"xml\" is not one of table, json, yaml"},
           {{"status", "--timeout", "0"}, "must be more than 0"},
           {{"stats", "--count", "3"}, "--watch"},
           {{"stats", "--watch", "--interval", "1ms"}, "from 100ms to 1h"},
           {{"capture"}, "--to"},
           {{"drain", "--deadline", "x\033[2J"}, "x\\x1b[2J"},
       }) {
    const Ran ran = runner.Run(arguments);
    EXPECT_EQ(ran.code, kExitUsage) << Joined(arguments);
    EXPECT_THAT(ran.err, AllOf(HasSubstr(what), HasSubstr("see sottoctl --help")))
        << Joined(arguments);
    EXPECT_EQ(ran.out, "");
  }
}

TEST(HelpTest, TheVersionIsTold) {
  Runner runner;
  EXPECT_EQ(runner.Run({"--version"}).out, "sottoctl " SOTTO_VERSION "\n");
}

}  // namespace
}  // namespace sotto::tools
