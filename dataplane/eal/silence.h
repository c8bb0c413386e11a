// SPDX-License-Identifier: Apache-2.0
// Keeps libraries quiet that print instead of logging.
#pragma once

namespace sotto::dataplane {

// While it lives, what the process writes to stdout and stderr goes nowhere. Main thread only.
class Silence {
 public:
  Silence();
  ~Silence();
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  int saved_[3] = {-1, -1, -1};  // by descriptor
};

}  // namespace sotto::dataplane
