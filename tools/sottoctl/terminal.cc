// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>

namespace sotto::tools {
namespace {

// Another screen, no cursor, and lines that don't wrap; and back.
constexpr char kEnter[] = "\033[?1049h\033[?25l\033[?7l";
constexpr char kLeave[] = "\033[?7h\033[?25h\033[?1049l";
constexpr int kFatal[] = {SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr size_t kMaxTyped = 64;

// For the signal handlers; written before they are installed.
termios cooked;
termios raw;
struct sigaction old_int;
struct sigaction old_term;

void WriteAll(const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t written = write(STDOUT_FILENO, bytes, size);
    if (written <= 0 && errno != EINTR) return;
    if (written > 0) bytes += written, size -= static_cast<size_t>(written);
  }
}

// Both are async-signal-safe.
void EnterScreen() {
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
  WriteAll(kEnter, sizeof(kEnter) - 1);
}
void LeaveScreen() {
  WriteAll(kLeave, sizeof(kLeave) - 1);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &cooked);
}

void OnFatal(int number) {
  LeaveScreen();
  signal(number, SIG_DFL);
  raise(number);
}

void OnStop(int) {
  const int error = errno;
  LeaveScreen();
  raise(SIGSTOP);
  EnterScreen();  // continued
  errno = error;
}

// The first of them asks the program to end, and so does every further one: what ends it at once
// would leave the screen as it is.
void OnEnd(int number) {
  const struct sigaction& old = number == SIGINT ? old_int : old_term;
  if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) {
    old.sa_handler(number);
  } else {
    OnFatal(number);
  }
}

void Handle(int number, void (*handler)(int), struct sigaction* old = nullptr) {
  struct sigaction action = {};
  action.sa_handler = handler;  // without SA_RESTART: poll() comes back
  sigaction(number, &action, old);
}

}  // namespace

absl::StatusOr<Terminal> Terminal::Open(bool color) {
  if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &cooked) != 0) {
    return absl::InvalidArgumentError(
        "sottoctl top needs a terminal; for files and pipes, use sottoctl stats --watch");
  }
  raw = cooked;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  for (const int number : kFatal) Handle(number, OnFatal);
  Handle(SIGTSTP, OnStop);
  Handle(SIGWINCH, [](int) {});
  Handle(SIGINT, OnEnd, &old_int);
  Handle(SIGTERM, OnEnd, &old_term);
  EnterScreen();
  return Terminal(color);
}

Terminal::Terminal(Terminal&& other) noexcept
    : color_(other.color_), owner_(std::exchange(other.owner_, false)) {}

Terminal::~Terminal() {
  if (!owner_) return;
  LeaveScreen();
  for (const int number : kFatal) signal(number, SIG_DFL);
  signal(SIGTSTP, SIG_DFL);
  signal(SIGWINCH, SIG_DFL);
  sigaction(SIGINT, &old_int, nullptr);
  sigaction(SIGTERM, &old_term, nullptr);
}

Terminal::Size Terminal::size() const {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
    return {};
  }
  return {size.ws_col, size.ws_row};
}

void Terminal::Draw(const std::vector<ScreenLine>& lines) {
  std::string out = "\033[H";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += "\r\n";
    const std::string_view before = !color_                                         ? ""
                                    : lines[i].style == ScreenLine::Style::kTitle   ? "\033[1m"
                                    : lines[i].style == ScreenLine::Style::kBar     ? "\033[7m"
                                    : lines[i].style == ScreenLine::Style::kTrouble ? "\033[1;31m"
                                                                                    : "";
    out += before;
    out += lines[i].text;
    if (!before.empty()) out += "\033[0m";
    out += "\033[K";
  }
  out += "\033[J";
  WriteAll(out.data(), out.size());
}

std::optional<Key> Terminal::ReadKey(std::chrono::milliseconds at_most) {
  if (auto key = TakeKey()) return key;
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  if (poll(&input, 1, static_cast<int>(at_most.count())) <= 0) return std::nullopt;
  char bytes[kMaxTyped];
  const ssize_t size = read(STDIN_FILENO, bytes, sizeof(bytes));
  if (size > 0) typed_.append(bytes, static_cast<size_t>(size));
  return TakeKey();
}

std::optional<Key> Terminal::TakeKey() {
  if (typed_.empty()) return std::nullopt;
  constexpr std::pair<std::string_view, Key::Kind> kSequences[] = {
      {"\033[A", Key::Kind::kUp},      {"\033OA", Key::Kind::kUp},
      {"\033[B", Key::Kind::kDown},    {"\033OB", Key::Kind::kDown},
      {"\033[5~", Key::Kind::kPageUp}, {"\033[6~", Key::Kind::kPageDown},
      {"\033[H", Key::Kind::kHome},    {"\033[F", Key::Kind::kEnd}};
  for (const auto& [sequence, kind] : kSequences) {
    if (!typed_.starts_with(sequence)) continue;
    typed_.erase(0, sequence.size());
    return Key{kind, 0};
  }
  if (typed_[0] == '\033') {  // a sequence that means nothing here; sequences come in one piece
    typed_.clear();
    return Key{};
  }
  const char character = typed_[0];
  typed_.erase(0, 1);
  return Key{Key::Kind::kCharacter, character};
}

}  // namespace sotto::tools
