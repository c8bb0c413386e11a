// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/man_page.h"

#include <fmt/format.h>

#include <CLI/StringTools.hpp>

#include "tools/sottoctl/help.h"
#include "tools/sottoctl/sottoctl.h"

namespace sotto::tools {
namespace {

// Text as roff: a hyphen that may be copied, and no line that is taken for a request.
std::string Roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += "\\&";
      out += c;
    }
  }
  return out;
}

std::string Sentence(std::string text) {
  if (!text.empty() && text.back() != '.') text += '.';
  return Roff(text);
}

void Options(std::string& out, const std::vector<const CLI::Option*>& options) {
  for (const CLI::Option* option : options) {
    out += fmt::format(".TP\n.B {}\n{}\n", Roff(OptionSpelling(*option)),
                       Sentence(option->get_description()));
  }
}

// Paragraphs of a footer; lines that are indented are examples.
void Footer(std::string& out, const std::string& footer) {
  if (footer.empty()) return;
  bool example = false;
  out += ".PP\n";
  for (const std::string& line : CLI::detail::split(footer, '\n')) {
    const bool indented = line.starts_with("  ");
    if (indented != example) out += indented ? ".PP\n.RS\n.nf\n" : ".fi\n.RE\n.PP\n";
    example = indented;
    out += line.empty() ? ".PP\n" : Roff(indented ? line.substr(2) : line) + "\n";
  }
  if (example) out += ".fi\n.RE\n";
}

void CommandSection(std::string& out, const CLI::App& app, const std::string& path) {
  const bool is_group = app.get_require_subcommand_min() > 0;
  if (!is_group) {
    out += fmt::format(".SS \"{} {}\"\n{}\n", Roff(path), Roff(UsageArguments(app)),
                       Sentence(app.get_description()));
    Options(out, Positionals(app));
    Options(out, NamedOptions(app));
    Footer(out, app.get_footer());
  }
  for (const auto& [heading, commands] : VisibleCommands(app)) {
    for (const CLI::App* command : commands) {
      CommandSection(out, *command, path + " " + command->get_name());
    }
  }
}

}  // namespace

std::string ManPage(const CLI::App& app) {
  std::string out = fmt::format(
      ".TH SOTTOCTL 1 \"\" \"Sotto {}\" \"Sotto\"\n"
      ".SH NAME\n"
      "sottoctl \\- inspects and controls running sotto\\-relayd and sotto\\-signald\n"
      ".SH SYNOPSIS\n"
      ".B sottoctl\n"
      "{}\n"
      ".SH DESCRIPTION\n"
      "Talks to the admin service of a daemon: over its Unix socket, which is guarded by file "
      "permissions, or over TCP with mutual TLS.\n"
      "Options of every command may be given before or after it.\n",
      SOTTO_VERSION, Roff(UsageArguments(app)));
  out += ".SH OPTIONS\n";
  Options(out, NamedOptions(app));
  for (const auto& [heading, commands] : VisibleCommands(app)) {
    std::string upper = heading;
    for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
    out += fmt::format(".SH {}\n", Roff(upper));
    for (const CLI::App* command : commands) CommandSection(out, *command, command->get_name());
  }
  out +=
      ".SH EXIT STATUS\n"
      ".TP\n"
      ".B 0\n"
      "Success.\n"
      ".TP\n"
      ".B 1\n"
      "Refused or failed; the reason is printed on standard error.\n"
      ".TP\n"
      ".B 2\n"
      "The command line is wrong.\n"
      ".TP\n"
      ".B 3\n"
      "The daemon can't be reached, or did not answer in time.\n"
      ".TP\n"
      ".B 4\n"
      "Not found.\n"
      ".SH ENVIRONMENT\n"
      ".TP\n"
      ".B SOTTO_TARGET\n"
      "Default of \\-\\-target.\n"
      ".TP\n"
      ".B SOTTO_SIGNALING_TARGET\n"
      "Default of \\-\\-target for signaling commands.\n"
      ".TP\n"
      ".B NO_COLOR\n"
      "Disables colors, whatever its value.\n"
      ".SH FILES\n";
  out += fmt::format(
      ".TP\n"
      ".I {}\n"
      "Default socket of sotto\\-relayd.\n"
      ".TP\n"
      ".I {}\n"
      "Default socket of sotto\\-signald.\n",
      Roff(std::string(kRelaySocket).substr(5)), Roff(std::string(kSignalingSocket).substr(5)));
  return out + ".SH SEE ALSO\n.BR sotto\\-relayd (8),\n.BR sotto\\-signald (8)\n";
}

}  // namespace sotto::tools
