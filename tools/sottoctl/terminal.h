// SPDX-License-Identifier: Apache-2.0
// A terminal whose whole screen is taken, and given back as it was: at the end of the object, and
// by whatever signal the process ends or is stopped.
//
// One object at a time, on one thread.
#pragma once

#include <termios.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sotto::tools {

struct ScreenLine {
  enum class Style { kPlain, kTitle, kBar, kTrouble };
  std::string text;  // printable, and as wide as the screen at most
  Style style = Style::kPlain;
};

struct Key {
  enum class Kind { kCharacter, kUp, kDown, kPageUp, kPageDown, kHome, kEnd, kOther };
  Kind kind = Kind::kOther;
  char character = 0;
};

class Terminal {
 public:
  // INVALID_ARGUMENT: standard input and output aren't a terminal.
  static absl::StatusOr<Terminal> Open(bool color);
  Terminal(Terminal&& other) noexcept;
  Terminal(const Terminal&) = delete;
  ~Terminal();

  struct Size {
    size_t columns = 80;
    size_t rows = 24;
  };
  Size size() const;

  // What the screen shows from now on; lines below those given are empty.
  void Draw(const std::vector<ScreenLine>& lines);

  // The next key. Nothing: none came in time, the screen has another size, or a signal arrived.
  std::optional<Key> ReadKey(std::chrono::milliseconds at_most);

 private:
  explicit Terminal(bool color) : color_(color) {}
  std::optional<Key> TakeKey();

  bool color_;
  bool owner_ = true;
  std::string typed_;  // read, and not yet taken as keys
};

}  // namespace sotto::tools
