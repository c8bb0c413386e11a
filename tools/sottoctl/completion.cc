// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/completion.h"

#include <fmt/format.h>

#include <functional>

#include "tools/sottoctl/help.h"

namespace sotto::tools {
namespace {

// Called with each command and its words ("", "allocations", "allocations list"), parents first.
void ForEachCommand(const CLI::App& app, const std::string& path,
                    const std::function<void(const CLI::App&, const std::string&)>& visit) {
  visit(app, path);
  for (const auto& [heading, commands] : VisibleCommands(app)) {
    for (const CLI::App* command : commands) {
      ForEachCommand(*command,
                     path.empty() ? command->get_name() : path + " " + command->get_name(), visit);
    }
  }
}

std::vector<std::string> Spellings(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

bool TakesFile(const CLI::Option& option) { return option.get_type_name() == "FILE"; }

std::vector<std::string> SubcommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto& [heading, commands] : VisibleCommands(app)) {
    for (const CLI::App* command : commands) names.push_back(command->get_name());
  }
  return names;
}

// Within single quotes of a shell.
std::string Quoted(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out;
}

// Within a specification of zsh's _arguments.
std::string ZshText(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ':' || c == '[' || c == ']' || c == '\\') out += '\\';
    out += c;
  }
  return Quoted(out);
}

// What an option's or argument's value is completed with, as _arguments has it.
std::string ZshAction(const CLI::Option& option) {
  const auto choices = Choices(option);
  if (!choices.empty()) return fmt::format("({})", fmt::join(choices, " "));
  return TakesFile(option) ? "_files" : "";
}

std::string ZshOption(const CLI::Option& option) {
  std::string out;
  const auto names = Spellings(option);
  for (const std::string& name : names) {
    // One spelling excludes the others.
    const std::string exclude = names.size() > 1 ? fmt::format("({})", fmt::join(names, " ")) : "";
    out += fmt::format(" \\\n    '{}{}[{}]", exclude, name, ZshText(option.get_description()));
    if (option.get_type_size() != 0) {
      out += fmt::format(":{}:{}", ZshText(option.get_type_name()), ZshAction(option));
    }
    out += "'";
  }
  return out;
}

std::string ZshFunctionName(std::string path) {
  for (char& c : path) c = c == ' ' ? '_' : c;
  return path.empty() ? "_sottoctl" : "_sottoctl_" + path;
}

std::string ZshFunction(const CLI::App& root, const CLI::App& app, const std::string& path) {
  std::string out = fmt::format(
      "{}() {{\n  local curcontext=$curcontext state line\n  _arguments -C", ZshFunctionName(path));
  for (const CLI::Option* option : NamedOptions(app)) out += ZshOption(*option);
  if (&app != &root) {
    for (const CLI::Option* option : NamedOptions(root)) out += ZshOption(*option);
  }
  const auto commands = VisibleCommands(app);
  if (commands.empty()) {
    for (const CLI::Option* positional : Positionals(app)) {
      out += fmt::format(" \\\n    '{}:{}:{}'", positional->get_expected_max() > 1 ? "*" : "",
                         ZshText(positional->get_name(true, false)), ZshAction(*positional));
    }
    return out + "\n}\n";
  }
  out += " \\\n    '1: :->command' \\\n    '*:: :->arguments'\n  case $state in\n    command)\n";
  out += "      local -a commands=(\n";
  for (const auto& [heading, group] : commands) {
    for (const CLI::App* command : group) {
      out += fmt::format("        '{}:{}'\n", command->get_name(),
                         ZshText(command->get_description()));
    }
  }
  out +=
      "      )\n      _describe -t commands command commands ;;\n    arguments)\n      case "
      "$line[1] in\n";
  for (const std::string& name : SubcommandNames(app)) {
    out += fmt::format("        {}) {} ;;\n", name,
                       ZshFunctionName(path.empty() ? name : path + " " + name));
  }
  return out + "      esac ;;\n  esac\n}\n";
}

}  // namespace

std::string BashCompletion(const CLI::App& app) {
  // Which words are options with a value, and what completes the value.
  std::string values, takes_value, commands, words;
  ForEachCommand(app, "", [&](const CLI::App& command, const std::string& path) {
    std::vector<std::string> here;
    for (const std::string& name : SubcommandNames(command)) {
      here.push_back(name);
      commands += fmt::format("|\"{}\"", path.empty() ? name : path + " " + name);
    }
    for (const CLI::Option* positional : Positionals(command)) {
      const auto choices = Choices(*positional);
      here.insert(here.end(), choices.begin(), choices.end());
      if (TakesFile(*positional)) here.push_back("FILE");
    }
    for (const CLI::Option* option : NamedOptions(command)) {
      const auto names = Spellings(*option);
      here.insert(here.end(), names.begin(), names.end());
      if (option->get_type_size() == 0) continue;
      for (const std::string& name : names) {
        const std::string key = fmt::format("\"{}:{}\"", path, name);
        takes_value += "|" + key;
        const auto choices = Choices(*option);
        const std::string given = !choices.empty()     ? fmt::format("{}", fmt::join(choices, " "))
                                  : TakesFile(*option) ? "FILE"
                                                       : "";
        if (!given.empty()) values += fmt::format("    {}) echo '{}' ;;\n", key, given);
      }
    }
    words += fmt::format("    \"{}\") echo '{}' ;;\n", path, fmt::join(here, " "));
  });
  return fmt::format(R"bash(# bash completion for sottoctl, made by `sottoctl generate bash`.

# Whether "COMMAND:OPTION" takes a value; the empty command has the options of all.
_sottoctl_takes_value() {{
  case $1 in
    {}) return 0 ;;
  esac
  return 1
}}
_sottoctl_is_command() {{
  case $1 in
    {}) return 0 ;;
  esac
  return 1
}}
# What completes the value of "COMMAND:OPTION"; FILE stands for files.
_sottoctl_values() {{
  case $1 in
{}  esac
}}
# What may follow a command.
_sottoctl_words() {{
  case $1 in
{}  esac
}}

_sottoctl() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} command= option= i next offered=
  for ((i = 1; i < COMP_CWORD; ++i)); do
    next=${{COMP_WORDS[i]}}
    if [[ -n $option ]]; then
      option=
    elif [[ $next == -* ]]; then
      if _sottoctl_takes_value "$command:$next"; then
        option="$command:$next"
      elif _sottoctl_takes_value ":$next"; then
        option=":$next"
      fi
    elif _sottoctl_is_command "${{command:+$command }}$next"; then
      command="${{command:+$command }}$next"
    fi
  done
  if [[ -n $option ]]; then
    offered=$(_sottoctl_values "$option")
  else
    offered=$(_sottoctl_words "$command")
    [[ -z $command || $word != -* ]] || offered+=" $(_sottoctl_words "")"
    # Options are offered to those who begin one.
    [[ $word == -* ]] || offered=$(printf '%s\n' $offered | grep -v '^-')
  fi
  COMPREPLY=()
  if [[ " ${{offered//$'\n'/ }} " == *" FILE "* ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
    offered=${{offered/FILE/}}
  fi
  local reply
  mapfile -t reply < <(compgen -W "$offered" -- "$word")
  COMPREPLY+=("${{reply[@]}}")
}}
complete -F _sottoctl sottoctl
)bash",
                     takes_value.substr(1), commands.substr(1), values, words);
}

std::string ZshCompletion(const CLI::App& app) {
  std::string out = "#compdef sottoctl\n# Made by `sottoctl generate zsh`.\n\n";
  ForEachCommand(app, "", [&](const CLI::App& command, const std::string& path) {
    out += ZshFunction(app, command, path) + "\n";
  });
  return out + "_sottoctl \"$@\"\n";
}

}  // namespace sotto::tools
