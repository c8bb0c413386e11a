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
  int depth = 0;
  std::vector<std::string> warnings;
  ConfigDigests digests;
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
  EXPECT_EQ(ErrorOf("[pet]\nname = \"a\"\n"), "p.toml:1: a pet must be written [[pet]].");
  EXPECT_EQ(ErrorOf("[[pet]]\n[[pet]]\n[[pet]]\n"),
            "p.toml:1: [[pet]] stands 3 times; must be at most 2.");
  EXPECT_EQ(ErrorOf("[[pet]]\nname = \"a\"\n[[pet]]\nlegs = 2\n"),
            "p.toml:3: this [[pet]] lacks name; must be a string, such as \"Rex\".");
  EXPECT_EQ(ErrorOf("[[pet]]\nname = \"a\"\n[[pet]]\nname = \"\"\n"),
            "p.toml:4: [pet] name: must not be empty.");
  EXPECT_THAT(ErrorOf("[[pet]]\nname = \"a\"\nleg = 2\n"), HasSubstr("did you mean legs?"));
  EXPECT_THAT(ErrorOf("[[pet]]\nname = \"a\"\n[house]\nlegs = 2\n"),
              HasSubstr("legs belongs in [[pet]]."));
  EXPECT_THAT(ErrorOf("[[pet]]\nname = \"a\"\n[garden]\npont = 2\n"),
              HasSubstr("p.toml:4: [garden] has no key \"pont\"; did you mean pond?"));
}

TEST(ConfigReader, KnowsWhatOnlyARestartBringsIntoForce) {
  const auto digests = [](std::string_view text) {
    const auto config = Reader().Parse(text, "p.toml", {});
    EXPECT_TRUE(config.ok()) << config.status();
    return config->digests;
  };
  const auto before = digests("[[pet]]\nname = \"a\"\n[house]\nowner = \"x\"\n");
  EXPECT_THAT(ChangedInitOnlyKeys(Reader().schema(), before,
                                  digests("[[pet]]\nname = \"a\"\n[house]\nowner = \"y\"\n")),
              IsEmpty());
  EXPECT_THAT(ChangedInitOnlyKeys(Reader().schema(), before,
                                  digests("[[pet]]\nname = \"b\"\n[garden.pond]\ndepth = 1\n")),
              ElementsAre("[garden.pond] depth", "[pet] name"));
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
