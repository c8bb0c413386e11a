// SPDX-License-Identifier: Apache-2.0
// What a start and a reload find in the files that a configuration names.
#include "signaling/signald/config/running_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "relay/daemon/test_certificate.h"
#include "relay/daemon/test_folder.h"

namespace sotto::signaling {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;

constexpr int64_t kDay = 24 * 3600;
constexpr int64_t kNow = 1'800'000'000;

class ConfigFilesTest : public testing::Test {
 protected:
  // A certificate and its key that end so many days from now.
  void Issue(const std::string& name, int64_t days) {
    const TestCertificate made =
        MakeTestCertificate(name.c_str(), kNow - 30 * kDay, kNow + days * kDay);
    Write(name + ".pem", made.cert);
    Write(name + ".key", made.key);
  }
  void Write(const std::string& name, const std::string& text) {
    const std::string path = Of(name);
    std::ofstream(path) << text;
    chmod(path.c_str(), 0600);
  }
  std::string Of(const std::string& name) const { return folder_.Of(name); }

  const TestFolder folder_;
};

TEST_F(ConfigFilesTest, WarnsOfEachCertificateThatIsOrWillSoonBeRefused) {
  SignaldConfig config;
  config.server.tls_cert = Of("server.pem");
  config.server.tls_key = Of("server.key");
  config.server.web_root.clear();
  config.admin.listen = *TransportAddress::Parse("127.0.0.1:9640");
  config.admin.tls = {.ca = Of("ca.pem"), .cert = Of("admin.pem"), .key = Of("admin.key")};
  config.relays = {{.name = "near",
                    .control = "127.0.0.1:9641",
                    .tls_ca = Of("ca.pem"),
                    .tls_cert = Of("signald.pem"),
                    .tls_key = Of("signald.key"),
                    .urls = {"turn:192.0.2.10:3478?transport=udp"},
                    .secret = "a-shared-secret"}};
  for (const char* name : {"server", "admin", "signald", "ca"}) Issue(name, 90);
  auto files = ConfigFiles::Load(config, kNow);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_THAT(files->warnings, IsEmpty());

  Issue("server", -1);
  Issue("admin", 3);
  Issue("signald", -2);
  files = ConfigFiles::Load(config, kNow);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_THAT(files->warnings, ElementsAre(HasSubstr("[server] tls_cert: " + Of("server.pem") +
                                                     ": the certificate of server has expired"),
                                           HasSubstr("[admin] tls_cert: " + Of("admin.pem") +
                                                     ": the certificate of admin expires on"),
                                           HasSubstr("[relay] tls_cert: " + Of("signald.pem") +
                                                     ": the certificate of signald has expired")));
  files = ConfigFiles::Load(config, kNow + 89 * kDay);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_THAT(files->warnings,
              IsSupersetOf({HasSubstr("[admin] tls_ca: "), HasSubstr("[relay] tls_ca: ")}));
}

}  // namespace
}  // namespace sotto::signaling
