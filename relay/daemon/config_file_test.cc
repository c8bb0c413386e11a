// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/config_file.h"

#include <gmock/gmock.h>

#include "relay/daemon/config_value.h"

namespace sotto {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

struct Pet {
  std::string name;
  int legs = 4;
};

// A daemon that keeps pets.
struct PetConfig {
  std::vector<Pet> pets;
  std::string owner;
  std::string door_code;
  int depth = 0;
  std::vector<std::string> warnings;
  ConfigSettings settings;
};

const ConfigReader<PetConfig>& Reader() {
  static const ConfigKeyReader<PetConfig> kKeys[] = {
      {{.section = "pet",
        .name = "name",
        .type = "a string",
        .standard = "(required)",
        .example = "\"Rex\"",
        .required = true,
        .meaning = "What it is called."},
       [](const ConfigValue& v, PetConfig& c) { v.Read(c.pets.back().name); }},
      {{.section = "pet",
        .name = "legs",
        .type = "an integer",
        .standard = "4",
        .example = "6",
        .meaning = "How many."},
       [](const ConfigValue& v, PetConfig& c) { v.Read(c.pets.back().legs, 0, 8); }},
      {{.section = "house",
        .name = "owner",
        .type = "a string",
        .standard = "(none)",
        .example = "\"Ann\"",
        .reloadable = true,
        .meaning = "Who pays."},
       [](const ConfigValue& v, PetConfig& c) { v.Read(c.owner); }},
      {{.section = "house",
        .name = "door_code",
        .type = "a string",
        .standard = "(none)",
        .example = "\"1234\"",
        .reloadable = true,
        .secret = true,
        .meaning = "How to get in."},
       [](const ConfigValue& v, PetConfig& c) { v.Read(c.door_code); }},
      {{.section = "garden.pond",
        .name = "depth",
        .type = "an integer",
        .standard = "0",
        .example = "2",
        .meaning = "In metres."},
       [](const ConfigValue& v, PetConfig& c) { v.Read(c.depth, 0, 10); }},
  };
  static const RepeatedSectionReader<PetConfig> kRepeated[] = {
      {{.name = "pet", .most = 2, .missing = "there is no [[pet]]; keep one."},
       [](PetConfig& c) { c.pets.emplace_back(); }}};
  static const ConfigReader<PetConfig> reader(
      kKeys, kRepeated, [](const PetConfig& c, ConfigErrors& errors) {
        for (size_t i = 0; i < c.pets.size(); ++i) {
          if (!c.pets[i].name.empty()) continue;
          errors.Add(errors.LineOf(fmt::format("pet#{}.name", i)),
                     "[pet] name: must not be empty.");
        }
      });
  return reader;
}

std::string ErrorOf(std::string_view text) {
  const auto config = Reader().Parse(text, "p.toml", {});
  return config.ok() ? "(none)" : std::string(config.status().message());
}

TEST(ConfigReader, ReadsRepeatedAndNestedSections) {
  PetConfig defaults;
  defaults.owner = "as before";
  const auto config = Reader().Parse(
      "[[pet]]\nname = \"a\"\n[[pet]]\nname = \"b\"\nlegs = 2\n[garden.pond]\ndepth = 3\n",
      "p.toml", defaults);
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->pets.size(), 2u);
  EXPECT_EQ(config->pets[0].legs, 4);
  EXPECT_EQ(config->pets[1].name, "b");
  EXPECT_EQ(config->pets[1].legs, 2);
  EXPECT_EQ(config->depth, 3);
  EXPECT_EQ(config->owner, "as before");
}

TEST(ConfigReader, SaysWhatIsWrongWithARepeatedSection) {
  EXPECT_EQ(ErrorOf(""), "p.toml: there is no [[pet]]; keep one.");
  EXPECT_EQ(ErrorOf("[pet]\nname = \"a\"\n"),
            "p.toml:1: a pet must be an array of tables: write [[pet]].");
  EXPECT_EQ(ErrorOf("[[pet]]\n[[pet]]\n[[pet]]\n"),
            "p.toml:1: [[pet]] occurs 3 times; must be at most 2.");
  EXPECT_EQ(ErrorOf("[[pet]]\nname = \"a\"\n[[pet]]\nlegs = 2\n"),
            "p.toml:3: this [[pet]] has no name; must be a string, such as \"Rex\".");
  EXPECT_EQ(ErrorOf("[[pet]]\nname = \"a\"\n[[pet]]\nname = \"\"\n"),
            "p.toml:4: [pet] name: must not be empty.");
  EXPECT_THAT(ErrorOf("[[pet]]\nname = \"a\"\nleg = 2\n"), HasSubstr("did you mean legs?"));
  EXPECT_THAT(ErrorOf("[[pet]]\nname = \"a\"\n[house]\nlegs = 2\n"),
              HasSubstr("legs belongs in [[pet]]."));
  EXPECT_THAT(ErrorOf("[[pet]]\nname = \"a\"\n[garden]\npont = 2\n"),
              HasSubstr("p.toml:4: [garden] has no key \"pont\"; did you mean pond?"));
}

TEST(ConfigReader, KnowsWhatOnlyARestartBringsIntoForce) {
  const auto settings = [](std::string_view text) {
    const auto config = Reader().Parse(text, "p.toml", {});
    EXPECT_TRUE(config.ok()) << config.status();
    return config->settings;
  };
  const auto before = settings("[[pet]]\nname = \"a\"\n[house]\nowner = \"x\"\n");
  EXPECT_THAT(CompareConfigs(Reader().schema(), before,
                             settings("[[pet]]\nname = \"a\"\n[house]\nowner = \"y\"\n"))
                  .init_only,
              IsEmpty());
  EXPECT_THAT(CompareConfigs(Reader().schema(), before,
                             settings("[[pet]]\nname = \"b\"\n[garden.pond]\ndepth = 1\n"))
                  .init_only,
              ElementsAre("[garden.pond] depth", "[pet] name"));
}

TEST(ConfigReader, TellsWhatAReloadBringsIntoForce) {
  const auto settings = [](std::string_view text) {
    const auto config = Reader().Parse(text, "p.toml", {});
    EXPECT_TRUE(config.ok()) << config.status();
    return config->settings;
  };
  const auto running = settings("[[pet]]\nname = \"a\"\n[house]\ndoor_code = \"1234\"\n");
  const auto wanted = settings(
      "[[pet]]\nname = \"b\"\n[house]\nowner = \"x\"\ndoor_code = "
      "\"4321\"\n[garden.pond]\ndepth=1\n");
  const ConfigDifference difference = CompareConfigs(Reader().schema(), running, wanted);
  EXPECT_THAT(difference.reloadable, ElementsAre("[house] door_code", "[house] owner"));
  EXPECT_THAT(difference.init_only, ElementsAre("[garden.pond] depth", "[pet] name"));

  const auto reloaded = ReloadedSettings(Reader().schema(), running, wanted);
  EXPECT_THAT(CompareConfigs(Reader().schema(), reloaded, wanted).reloadable, IsEmpty());
  EXPECT_THAT(CompareConfigs(Reader().schema(), reloaded, running).init_only, IsEmpty());
  // A reloadable key that is gone is at its default again.
  EXPECT_FALSE(ReloadedSettings(Reader().schema(), wanted, running).contains("house.owner"));
}

TEST(ConfigReader, ListsEveryKeyWithWhatIsInForceAndNoSecret) {
  const auto config = Reader().Parse(
      "[house]\nowner = \"x\"\ndoor_code = \"1234\"\n[[pet]]\nname = \"a\"\n\n[[pet]]\nlegs = "
      "2\nname = \"b\"\n",
      "p.toml", {});
  ASSERT_TRUE(config.ok()) << config.status();
  std::vector<std::string> lines;
  for (const ConfigEntry& entry : ConfigEntries(Reader().schema(), config->settings)) {
    lines.push_back(
        fmt::format("{} {} = {}", entry.section, entry.key->name,
                    entry.setting == nullptr
                        ? "default"
                        : fmt::format("{} at {}", entry.setting->toml, entry.setting->line)));
  }
  EXPECT_THAT(
      lines, ElementsAre("pet#1 name = 'a' at 5", "pet#1 legs = default", "pet#2 name = 'b' at 9",
                         "pet#2 legs = 2 at 8", "house owner = 'x' at 2", "house door_code =  at 3",
                         "garden.pond depth = default"));
}

TEST(ConfigReference, WritesSectionsAsTheyAreWritten) {
  const std::string reference = ConfigReference(Reader().schema());
  EXPECT_THAT(reference, StartsWith("### `[[pet]]`\n\n| key | type |"));
  EXPECT_THAT(reference, HasSubstr("### `[garden.pond]`"));
  EXPECT_THAT(reference,
              HasSubstr("| `owner` | a string: `\"Ann\"` | (none) | on reload (SIGHUP) |"));
}

}  // namespace
}  // namespace sotto
