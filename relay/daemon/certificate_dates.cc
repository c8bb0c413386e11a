// SPDX-License-Identifier: Apache-2.0
#include "relay/daemon/certificate_dates.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>
#include <optional>

#include "relay/daemon/log.h"

namespace sotto {
namespace {

constexpr int64_t kDay = 24 * 3600;

std::optional<int64_t> UnixTime(const ASN1_TIME* time) {
  std::tm tm = {};
  if (ASN1_TIME_to_tm(time, &tm) != 1) return std::nullopt;
  return timegm(&tm);
}

std::string Date(int64_t unix_s) {
  return fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(static_cast<std::time_t>(unix_s)));
}

std::string SubjectOf(X509& certificate) {
  char name[256] = {};
  X509_NAME* const subject = X509_get_subject_name(&certificate);
  if (X509_NAME_get_text_by_NID(subject, NID_commonName, name, sizeof(name)) <= 0) {
    return "a certificate";
  }
  return fmt::format("the certificate of {}", EscapeText(name));
}

}  // namespace

std::vector<std::string> CertificateDateWarnings(std::string_view pem, std::string_view file,
                                                 int64_t unix_s) {
  std::vector<std::string> warnings;
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  for (;;) {
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(
        PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free);
    if (!certificate) break;
    const auto begin = UnixTime(X509_get0_notBefore(certificate.get()));
    const auto end = UnixTime(X509_get0_notAfter(certificate.get()));
    if (!begin || !end) continue;
    const std::string name = fmt::format("{}: {}", file, SubjectOf(*certificate));
    if (*end < unix_s) {
      warnings.push_back(fmt::format("{} has expired ({}), so it is rejected; renew it and reload.",
                                     name, Date(*end)));
    } else if (*begin > unix_s) {
      warnings.push_back(
          fmt::format("{} is not valid before {}, so it is rejected until then; check this "
                      "host's clock, or install another certificate and reload.",
                      name, Date(*begin)));
    } else if (*end - unix_s < kCertificateWarningDays * kDay) {
      warnings.push_back(fmt::format("{} expires on {}; renew it and reload.", name, Date(*end)));
    }
  }
  ERR_clear_error();  // that there are no more
  return warnings;
}

std::vector<std::string> TlsDateWarnings(std::string_view section, const TlsFiles& files,
                                         const TlsPem& pem, int64_t unix_s) {
  std::vector<std::string> warnings;
  const auto look_at = [&](std::string_view key, std::string_view text, std::string_view file) {
    for (const std::string& warning : CertificateDateWarnings(text, file, unix_s)) {
      warnings.push_back(fmt::format("[{}] {}: {}", section, key, warning));
    }
  };
  look_at("tls_cert", pem.cert, files.cert);
  look_at("tls_ca", pem.ca, files.ca);
  return warnings;
}

}  // namespace sotto
