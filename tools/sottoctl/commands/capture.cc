// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>
#include <ostream>

#include "relay/api/admin.pb.h"
#include "relay/base/ip_address.h"
#include "tools/sottoctl/command.h"

namespace sotto::tools {
namespace {

using relay::v1::CaptureRequest;

constexpr uint32_t kStandardSeconds = 60;  // where the request names none

// A word of --filter.
void SetFilter(CaptureRequest::Filter& filter, const std::string& word) {
  const auto refuse = [&word](std::string_view why) {
    RefuseOption("--filter", fmt::format("\"{}\" {}", word, why));
  };
  const size_t equals = word.find('=');
  if (equals == std::string::npos) refuse("is not KEY=VALUE");
  const std::string key = word.substr(0, equals), value = word.substr(equals + 1);
  const auto number = [&](uint64_t most) {
    uint64_t out = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
    if (error != std::errc() || end != value.data() + value.size() || out == 0 || out > most) {
      refuse(fmt::format("needs a number from 1 to {}", most));
    }
    return out;
  };
  if (key == "host") {
    if (!IpPrefix::Parse(value).ok()) refuse("needs an address or a prefix");
    filter.set_host(value);
  } else if (key == "port") {
    filter.set_udp_port(static_cast<uint32_t>(number(65535)));
  } else if (key == "drop") {
    if (value.empty()) refuse("needs a drop reason, or any");
    filter.set_drop_reason(value);
  } else if (key == "direction") {
    if (value != "rx" && value != "tx") refuse("must be direction=rx or direction=tx");
    filter.set_direction(value == "rx" ? CaptureRequest::Filter::DIRECTION_RX
                                       : CaptureRequest::Filter::DIRECTION_TX);
  } else if (key == "allocation") {
    filter.set_allocation(number(UINT64_MAX));
  } else {
    refuse("must begin with host=, port=, drop=, direction= or allocation=");
  }
}

// The file that packets are written to, for its owner alone: an existing one is emptied and closed
// to others, one that isn't ours is refused, and so is a symbolic link, which may be there to have
// another file overwritten. Devices and named pipes are as whoever made them wanted them.
absl::StatusOr<int> OpenForPackets(const std::string& path) {
  const auto refuse = [&path](std::string_view why) {
    return absl::FailedPreconditionError(fmt::format("{} {}", path, why));
  };
  constexpr int kFlags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY;
  int fd = open(path.c_str(), kFlags | O_NOFOLLOW, 0600);
  struct stat file = {};
  if (fd < 0 && errno == ELOOP) {
    constexpr std::string_view kLink =
        "is a symbolic link, which captures don't follow; name the file that it points to";
    if (stat(path.c_str(), &file) != 0 || S_ISREG(file.st_mode)) return refuse(kLink);
    fd = open(path.c_str(), kFlags & ~O_CREAT);  // such as /dev/fd/63, which shells make
    if (fd >= 0 && (fstat(fd, &file) != 0 || S_ISREG(file.st_mode))) {
      close(fd);
      return refuse(kLink);
    }
  }
  if (fd < 0) return refuse(fmt::format("can't be opened: {}", strerrordesc_np(errno)));
  absl::Status status;
  if (fstat(fd, &file) != 0) {
    status = refuse(fmt::format("can't be examined: {}", strerrordesc_np(errno)));
  } else if (S_ISREG(file.st_mode)) {
    if (file.st_uid != geteuid()) {
      status = refuse("belongs to another user, who could read the packets; name another file");
    } else if (fchmod(fd, 0600) != 0 || ftruncate(fd, 0) != 0) {
      status = refuse(fmt::format("can't be prepared: {}", strerrordesc_np(errno)));
    }
  }
  if (status.ok()) return fd;
  close(fd);
  return status;
}

// Where the packets go.
class Sink {
 public:
  Sink(const std::string& path, std::ostream& out) : path_(path), out_(out) {}
  ~Sink() {
    if (fd_ >= 0) close(fd_);
  }
  // The shell's redirection decides what file that is, if any.
  bool is_stdout() const { return path_ == "-" || path_ == "/dev/stdout"; }

  // Opened with the first packet, so that a capture that is refused leaves a file as it was.
  absl::Status Write(std::string_view bytes) {
    if (is_stdout()) {
      out_.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush();
      return out_.good() ? absl::OkStatus() : absl::DataLossError("standard output was closed");
    }
    if (fd_ < 0) {
      const absl::StatusOr<int> opened = OpenForPackets(path_);
      if (!opened.ok()) return opened.status();
      fd_ = *opened;
    }
    while (!bytes.empty()) {
      const ssize_t written = write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno != EINTR) {
        return absl::DataLossError(
            fmt::format("{} can't be written: {}", path_, strerrordesc_np(errno)));
      }
      if (written > 0) bytes.remove_prefix(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  std::ostream& out_;
  int fd_ = -1;
};

absl::Status Capture(CommandContext& context, const CaptureRequest& request,
                     const std::string& to) {
  Sink sink(to, context.around.out);
  if (sink.is_stdout() && context.around.out_is_terminal) {
    return absl::InvalidArgumentError(
        "can't write a capture to a terminal; use --to FILE, or a pipe");
  }
  relay::v1::CaptureChunk chunk;
  uint64_t packets = 0, missed = 0;
  absl::Status written;
  const uint32_t seconds = request.max_seconds() == 0 ? kStandardSeconds : request.max_seconds();
  // Nothing may match for all of the time.
  const absl::Status status = context.daemon->Stream(
      "Admin.Capture", request, chunk,
      [&] {
        packets = chunk.packets();
        missed = chunk.missed();
        written = sink.Write(chunk.pcapng());
        return written.ok();
      },
      std::chrono::seconds(seconds));
  // An interrupted capture is one that has been ended.
  if (!status.ok() && !absl::IsCancelled(status)) return status;
  if (!written.ok()) return written;
  const std::string sentence =
      fmt::format("{} packet{} captured, {} missed.", packets, packets == 1 ? "" : "s", missed);
  if (sink.is_stdout()) {
    context.around.err << "sottoctl: " << sentence << '\n';
  } else {
    context.out.Done(sentence, {{"file", to}, {"packets", packets}, {"missed", missed}});
  }
  return absl::OkStatus();
}

}  // namespace

void AddCapture(Commands& commands) {
  const auto request = std::make_shared<CaptureRequest>();
  const auto to = std::make_shared<std::string>();
  CLI::App& capture = commands.Add(
      "capture", "Captures packets, as the relay's workers see them, to a file", kRelayHeading,
      DaemonKind::kRelay,
      [request, to](CommandContext& context) { return Capture(context, *request, *to); });
  AddFile(capture, "--to", *to, "The pcapng file to write; - for standard output");
  Require(capture, "--to");
  AddWords(
      capture, "--filter", "KEY=VALUE",
      [request](const std::vector<std::string>& words) {
        for (const std::string& word : words) SetFilter(*request->mutable_filter(), word);
      },
      "Only packets that match all of: host=ADDRESS or PREFIX, port=UDP-PORT, drop=REASON or "
      "any, direction=rx or tx, allocation=ID");
  AddNumber(
      capture, "--packets", "N", 1, 1'000'000,
      [request](uint64_t n) { request->set_max_packets(static_cast<uint32_t>(n)); },
      "Ends after this many packets; default: 10000");
  AddSeconds(
      capture, "--duration",
      [request](uint64_t s) {
        if (s > 3600) RefuseOption("--duration", "at most 1h");
        request->set_max_seconds(static_cast<uint32_t>(s));
      },
      "Ends after this time; default: 60s");
  AddFlag(
      capture, "--payload", [request] { request->set_payload(true); },
      "Captures whole packets, not only headers");
  SetFooter(
      capture,
      "A capture never takes more than a fixed share of a worker's time; packets that exceed it "
      "are counted as missed. Only one capture runs at a time. When interrupted, it leaves a "
      "complete file.\n"
      "  sottoctl capture --filter drop=any --to dropped.pcapng\n"
      "  sottoctl capture --filter host=192.0.2.7 port=3478 --to - | tcpdump -nr -");
}

}  // namespace sotto::tools
