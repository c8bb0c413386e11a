// SPDX-License-Identifier: Apache-2.0
// The web client's files, read into memory once: what isn't there can't be asked for, however a
// path is written.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sotto::signaling {

constexpr size_t kMaxWebFiles = 4096;
constexpr size_t kMaxWebBytes = 64u << 20;

struct WebFile {
  std::string content;
  std::string_view type;   // of the content, as Content-Type has it
  std::string etag;        // with its quotation marks
  bool immutable = false;  // its name has a hash of its content
};

class WebRoot {
 public:
  // All regular files within a folder. Symbolic links and names that begin with a dot are left out.
  // INVALID_ARGUMENT: no such folder, no index.html, a file that can't be read, too many or too
  // much.
  static absl::StatusOr<std::shared_ptr<const WebRoot>> Load(const std::string& folder);

  // `target` is that of an HTTP request: a path that begins with / (which alone is /index.html),
  // with or without a query. None: nullptr.
  const WebFile* Find(std::string_view target) const;

 private:
  std::map<std::string, WebFile, std::less<>> files_;  // by "/assets/app-4f2a.js"
};

}  // namespace sotto::signaling
