// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/certificate_dates.h"

#include <gmock/gmock.h>

#include "relay/daemon/test_certificate.h"

namespace sotto {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kDay = 24 * 3600;
constexpr int64_t kNow = 1'800'000'000;  // 2027-01-15 08:00:00 UTC

std::string Certificate(const char* name, int64_t begin, int64_t end) {
  return MakeTestCertificate(name, begin, end).cert;
}

std::vector<std::string> Warnings(std::string_view pem) {
  return CertificateDateWarnings(pem, "/etc/cert.pem", kNow);
}

TEST(CertificateDates, NothingIsSaidOfOneThatHoldsForLong) {
  EXPECT_THAT(Warnings(Certificate("relay", kNow - kDay, kNow + 90 * kDay)), IsEmpty());
  // To the second.
  EXPECT_THAT(Warnings(Certificate("relay", kNow, kNow + 14 * kDay)), IsEmpty());
}

TEST(CertificateDates, SaysWhichHasExpiredIsToComeOrEndsSoon) {
  EXPECT_THAT(Warnings(Certificate("relay", kNow - 9 * kDay, kNow - 1)),
              ElementsAre("/etc/cert.pem: the certificate of relay has expired (2027-01-15 07:59 "
                          "UTC), so it is rejected; renew it and reload."));
  EXPECT_THAT(Warnings(Certificate("relay", kNow + 1, kNow + 90 * kDay)),
              ElementsAre(AllOf(HasSubstr("relay is not valid before 2027-01-15 08:00 UTC"),
                                HasSubstr("check this host's clock"))));
  EXPECT_THAT(Warnings(Certificate("relay", kNow - kDay, kNow + 14 * kDay - 1)),
              ElementsAre("/etc/cert.pem: the certificate of relay expires on 2027-01-29 07:59 "
                          "UTC; renew it and reload."));
}

TEST(CertificateDates, LooksAtTheWholeChainAndSkipsWhatIsNoCertificate) {
  const TestCertificate leaf = MakeTestCertificate("leaf", kNow - kDay, kNow + 90 * kDay);
  const std::string chain = leaf.cert + leaf.key +
                            Certificate("middle", kNow - 9 * kDay, kNow - kDay) +
                            Certificate(nullptr, kNow - kDay, kNow + kDay);
  EXPECT_THAT(Warnings(chain),
              ElementsAre(HasSubstr("middle has expired"), HasSubstr("a certificate expires on")));
  EXPECT_THAT(Warnings("no PEM at all"), IsEmpty());
  EXPECT_THAT(Warnings(""), IsEmpty());
}

// Years from 2050 on are GeneralizedTime (RFC 5280, section 4.1.2.5).
TEST(CertificateDates, ReadsBothFormsOfATime) {
  const std::string far = Certificate("far", kNow, kNow + int64_t{30} * 365 * kDay);
  EXPECT_THAT(CertificateDateWarnings(far, "x", kNow), IsEmpty());
  EXPECT_THAT(CertificateDateWarnings(far, "x", kNow + int64_t{31} * 365 * kDay),
              ElementsAre(HasSubstr("far has expired (2057-01-07")));
}

TEST(CertificateDates, ANameCantWriteToATerminal) {
  EXPECT_THAT(Warnings(Certificate("\x1b[2J", kNow - 2 * kDay, kNow - kDay)),
              ElementsAre(testing::Not(HasSubstr("\x1b"))));
}

}  // namespace
}  // namespace sotto
