// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <istream>
#include <nlohmann/json.hpp>

#include "relay/api/admin.pb.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

constexpr size_t kMaxPassword = 1024;

absl::Status Add(CommandContext& context, const std::string& name, bool password_from_input) {
  relay::v1::AddUserRequest request;
  request.set_name(name);
  if (password_from_input) {
    std::string password;
    // A line ends in LF or CR LF; without either, a CR would be the password's own.
    if (std::getline(context.around.in, password) && !context.around.in.eof() &&
        password.ends_with('\r')) {
      password.pop_back();
    }
    if (password.empty() || password.size() > kMaxPassword) {
      return absl::InvalidArgumentError(fmt::format(
          "standard input has no password; must be one line of 1 to {} bytes", kMaxPassword));
    }
    request.set_password(password);
  }
  const auto added = context.daemon->Call<relay::v1::AddUserResponse>("Admin.AddUser", request);
  if (!added.ok()) return added.status();
  Json record = {{"name", name}};
  if (added->password().empty()) {
    context.out.Done(fmt::format("Added user {}.", name), record);
    return absl::OkStatus();
  }
  record["password"] = added->password();
  constexpr Column kColumns[] = {{"User", "name"}, {"Password", "password"}};
  context.out.Record(record, kColumns);
  return absl::OkStatus();
}

absl::Status Remove(CommandContext& context, const std::string& name, bool end_allocations) {
  relay::v1::RemoveUserRequest request;
  request.set_name(name);
  request.set_end_allocations(end_allocations);
  const auto removed =
      context.daemon->Call<relay::v1::RemoveUserResponse>("Admin.RemoveUser", request);
  if (!removed.ok()) return removed.status();
  context.out.Done(
      fmt::format("Removed user {}; {} of its allocations ended.", name, removed->ended()),
      {{"name", name}, {"ended", removed->ended()}});
  return absl::OkStatus();
}

absl::Status List(CommandContext& context) {
  const auto users = context.daemon->Call<relay::v1::ListUsersResponse>(
      "Admin.ListUsers", relay::v1::ListUsersRequest());
  if (!users.ok()) return users.status();
  Output::List list(context.out, {{"USER", "name"},
                                  {"IN CONFIGURATION", "from_config", Unit::kYesNo},
                                  {"ALLOCATIONS", "allocations", Unit::kCount}});
  for (const auto& user : users->users()) list.Add(user);
  return absl::OkStatus();
}

}  // namespace

void AddUsers(Commands& commands) {
  CLI::App& group =
      commands.Group("users", "Adds, removes and lists users with a password", kAccessHeading);
  const auto name = std::make_shared<std::string>();
  const auto add_name = [&name](CLI::App& app) { AddArgument(app, "NAME", *name, "The user"); };

  const auto from_input = std::make_shared<bool>(false);
  CLI::App& add = commands.AddTo(
      group, "add", "Adds a user, with a random password unless one is given", DaemonKind::kRelay,
      [name, from_input](CommandContext& context) { return Add(context, *name, *from_input); });
  add_name(add);
  AddFlag(add, "--password-stdin", *from_input,
          "Reads the password from the first line of standard input, where other users can't "
          "see it");
  SetFooter(
      add,
      "The relay saves the user in [turn.auth] file before it answers. A random password is shown "
      "only this once.");

  const auto end = std::make_shared<bool>(false);
  CLI::App& remove = commands.AddTo(
      group, "remove", "Removes a user; its allocations continue unless --end-allocations is given",
      DaemonKind::kRelay,
      [name, end](CommandContext& context) { return Remove(context, *name, *end); });
  add_name(remove);
  AddFlag(remove, "--end-allocations", *end, "Also ends the user's allocations");

  commands.AddTo(group, "list", "Lists users and their number of allocations", DaemonKind::kRelay,
                 List);
}

}  // namespace sotto::tools
