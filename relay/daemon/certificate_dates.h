// SPDX-License-Identifier: Apache-2.0
// What a daemon tells its operator of the certificates that it serves with: a certificate that is
// past its end is no error, as another one may come with a reload, but clients refuse it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "relay/daemon/tls_files.h"

namespace sotto {

// Certificates that end sooner are warned of.
constexpr int64_t kCertificateWarningDays = 14;

// A sentence for each certificate in `pem` (text of PEM blocks; others than certificates are
// skipped) that has expired at `unix_s`, isn't valid yet, or expires within
// kCertificateWarningDays. `file` is what to call the text.
std::vector<std::string> CertificateDateWarnings(std::string_view pem, std::string_view file,
                                                 int64_t unix_s);
// The same for what a section of a configuration names as tls_cert and tls_ca, whose keys the
// sentences begin with.
std::vector<std::string> TlsDateWarnings(std::string_view section, const TlsFiles& files,
                                         const TlsPem& pem, int64_t unix_s);

}  // namespace sotto
