// SPDX-License-Identifier: Apache-2.0
#include "tools/sottoctl/daemon_client.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <grp.h>
#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "tools/sottoctl/units.h"

namespace sotto::tools {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::system_clock;  // gRPC's

constexpr std::string_view kUnix = "unix:";
constexpr milliseconds kStopCheck(100);
constexpr milliseconds kMaxConnect = std::chrono::hours(24);
// A list of all users or of the largest configuration fits.
constexpr int kMaxMessageBytes = 64 << 20;
constexpr size_t kMaxPemBytes = 1 << 20;

absl::StatusOr<std::string> ReadPem(std::string_view option, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxPemBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.empty() || text.size() > kMaxPemBytes) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {} can't be read as a PEM file", option, path));
  }
  return text;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(const DaemonTarget& target) {
  const bool is_unix = target.address.starts_with(kUnix);
  const int given = !target.ca_file.empty() + !target.cert_file.empty() + !target.key_file.empty();
  if (is_unix) {
    const size_t length = target.address.size() - kUnix.size();
    if (length == 0 || length >= sizeof(sockaddr_un::sun_path)) {
      return absl::InvalidArgumentError(
          fmt::format("\"{}\" is not a Unix socket; must be unix:/PATH, of 1 to {} characters",
                      target.address, sizeof(sockaddr_un::sun_path) - 1));
    }
    if (given != 0) {
      return absl::InvalidArgumentError(
          "--ca, --cert and --key only apply to --target HOST:PORT; a Unix socket is guarded by "
          "file permissions");
    }
    return grpc::InsecureChannelCredentials();
  }
  const size_t colon = target.address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == target.address.size() ||
      target.address.find('/') != std::string::npos) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is not a target; must be unix:/PATH or HOST:PORT", target.address));
  }
  if (given != 3) {
    return absl::InvalidArgumentError(fmt::format(
        "{} needs mutual TLS: give --ca, --cert and --key, or use a Unix socket as target",
        target.address));
  }
  grpc::SslCredentialsOptions tls;
  const struct {
    std::string_view option;
    const std::string& path;
    std::string& out;
  } kFiles[] = {{"--ca", target.ca_file, tls.pem_root_certs},
                {"--cert", target.cert_file, tls.pem_cert_chain},
                {"--key", target.key_file, tls.pem_private_key}};
  for (const auto& file : kFiles) {
    absl::StatusOr<std::string> pem = ReadPem(file.option, file.path);
    if (!pem.ok()) return pem.status();
    file.out = *std::move(pem);
  }
  return grpc::SslCredentials(tls);
}

// Who may connect to a socket that this process may not.
std::string OwnerSentence(const std::string& path) {
  struct stat file;
  if (stat(path.c_str(), &file) != 0) {
    return "this user can't search its folder; run this as root, or as a member of the folder's "
           "group";
  }
  const passwd* user = getpwuid(file.st_uid);
  const group* owners = getgrgid(file.st_gid);
  const std::string group_name = owners ? owners->gr_name : fmt::format("{}", file.st_gid);
  return fmt::format(
      "it belongs to {}:{} with mode {:04o}; run this as root, or as a member of the group {}",
      user ? user->pw_name : fmt::format("{}", file.st_uid), group_name, file.st_mode & 07777,
      group_name);
}

// Why nothing could be reached at a Unix socket; gRPC's own words leave out what to do.
std::string UnixTrouble(const DaemonTarget& target) {
  const std::string path = target.address.substr(kUnix.size());
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = result == 0 ? 0 : errno;
  close(fd);
  switch (error) {
    case ENOENT:
      return fmt::format(
          "there is no socket {}; is {} running, and is this its [admin] socket? (--target names "
          "another)",
          path, target.daemon);
    case EACCES:
    case EPERM:
      return fmt::format("no permission for {}: {}", path, OwnerSentence(path));
    case ECONNREFUSED:
      return fmt::format("nothing listens on {}; {} is not running: see systemctl status {}", path,
                         target.daemon, target.daemon);
    case ENOTSOCK:
      return fmt::format("{} is not a socket", path);
    case 0:
      return fmt::format("{} closed the connection on {}; it is stopping, or has just started",
                         target.daemon, path);
    default:
      return fmt::format("can't reach {}: {}", path, strerrordesc_np(error));
  }
}

std::string StatusWords(const grpc::Status& status) {
  if (!status.error_message().empty()) {
    // What is wrong with a configuration has a line for each thing.
    std::istringstream lines(status.error_message());
    std::string words;
    for (std::string line; std::getline(lines, line);) {
      words += (words.empty() ? "" : "\n") + Printable(line);
    }
    return words;
  }
  return fmt::format("refused with gRPC status {} and no message",
                     static_cast<int>(status.error_code()));
}

}  // namespace

struct DaemonClient::State {
  DaemonTarget target;
  const std::atomic<bool>& stop;
  std::shared_ptr<grpc::Channel> channel;
};

// One call: its operations are started one after the other, and awaited.
class CallInProgress {
 public:
  CallInProgress(const DaemonTarget& target, const std::atomic<bool>& stop)
      : target_(target), stop_(stop) {}
  ~CallInProgress() {
    context_.TryCancel();
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  grpc::ClientContext& context() { return context_; }
  grpc::CompletionQueue& queue() { return queue_; }
  bool timed_out() const { return timed_out_; }
  bool stopped() const { return stopped_; }

  // Whether the operation that was started succeeded. What isn't over by then is cancelled, and
  // with it the call.
  bool Await(Clock::time_point deadline) {
    while (true) {
      void* tag;
      bool ok = false;
      const auto look = Clock::now() + kStopCheck;
      const bool cancelled = timed_out_ || stopped_;
      switch (queue_.AsyncNext(&tag, &ok, cancelled ? look : std::min(look, deadline))) {
        case grpc::CompletionQueue::GOT_EVENT:
          return ok;
        case grpc::CompletionQueue::SHUTDOWN:
          return false;
        case grpc::CompletionQueue::TIMEOUT:
          break;
      }
      if (cancelled) continue;
      stopped_ = stop_;
      timed_out_ = !stopped_ && Clock::now() >= deadline;
      if (stopped_ || timed_out_) context_.TryCancel();
    }
  }

 private:
  const DaemonTarget& target_;
  const std::atomic<bool>& stop_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  bool timed_out_ = false;
  bool stopped_ = false;
};

DaemonClient::DaemonClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
DaemonClient::DaemonClient(DaemonClient&&) noexcept = default;
DaemonClient::~DaemonClient() = default;

const DaemonTarget& DaemonClient::target() const { return state_->target; }

absl::StatusOr<DaemonClient> DaemonClient::Make(const DaemonTarget& target,
                                                const std::atomic<bool>& stop) {
  auto credentials = Credentials(target);
  if (!credentials.ok()) return credentials.status();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // `top` finds a daemon that has been restarted without a long wait.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  // For gRPC, also how long connecting may take. Our own timeout must be over first: by it a daemon
  // that hangs is told from one that closes the connection.
  const milliseconds connect = std::min(target.timeout, kMaxConnect) + kStopCheck;
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, static_cast<int>(connect.count()));
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return DaemonClient(std::unique_ptr<State>(
      new State{target, stop,
                grpc::CreateCustomChannel(target.address, *std::move(credentials), arguments)}));
}

absl::Status DaemonClient::Stream(std::string_view method, const google::protobuf::Message& request,
                                  google::protobuf::Message& response,
                                  const std::function<bool()>& each, milliseconds quiet) const {
  const std::string name = fmt::format("{}.{}", request.GetDescriptor()->file()->package(), method);
  const auto* described =
      google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name);
  if (described == nullptr || described->input_type() != request.GetDescriptor() ||
      described->output_type() != response.GetDescriptor()) {
    std::abort();  // a mistake of ours, which the test of the command finds
  }
  const std::string path =
      fmt::format("/{}/{}", described->service()->full_name(), described->name());

  CallInProgress call(state_->target, state_->stop);
  grpc::GenericStub stub(state_->channel);
  const auto stream = stub.PrepareCall(&call.context(), path, &call.queue());
  const milliseconds timeout = state_->target.timeout;
  // Of the first message: to connect and to ask belong to it.
  Clock::time_point deadline = Clock::now() + timeout + quiet;
  stream->StartCall(nullptr);
  bool going = call.Await(Clock::now() + timeout);
  if (going) {
    const grpc::Slice bytes(request.SerializeAsString());
    stream->WriteLast(grpc::ByteBuffer(&bytes, 1), grpc::WriteOptions(), nullptr);
    going = call.Await(deadline);
  }
  bool malformed = false;
  bool enough = false;
  while (going) {
    grpc::ByteBuffer buffer;
    stream->Read(&buffer, nullptr);
    going = call.Await(deadline);
    if (!going) break;
    grpc::ProtoBufferReader reader(&buffer);
    response.Clear();
    malformed = !response.ParseFromZeroCopyStream(&reader);
    enough = malformed || !each();
    if (enough) {
      call.context().TryCancel();
      going = false;
    }
    deadline = Clock::now() + timeout + quiet;
  }
  grpc::Status status;
  stream->Finish(&status, nullptr);
  call.Await(Clock::now() + timeout);

  const DaemonTarget& target = state_->target;
  if (malformed) {
    return absl::DataLossError(
        fmt::format("{} sent an invalid answer to {}", target.address, method));
  }
  if (enough || status.ok()) return absl::OkStatus();
  if (call.stopped()) return absl::CancelledError("interrupted");
  if (call.timed_out()) {
    return absl::UnavailableError(
        fmt::format("no answer from {} at {} within {} s; to wait longer, use --timeout",
                    target.daemon, target.address, timeout.count() / 1000.0));
  }
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      if (state_->channel->GetState(false) == GRPC_CHANNEL_READY) {
        return absl::AbortedError(StatusWords(status));
      }
      if (target.address.starts_with(kUnix)) return absl::UnavailableError(UnixTrouble(target));
      return absl::UnavailableError(fmt::format(
          "can't reach {} at {}; is that its [admin] listen, and do --ca, --cert and --key match "
          "its tls_cert and tls_ca? {}",
          target.daemon, target.address, StatusWords(status)));
    case grpc::StatusCode::UNIMPLEMENTED:
      return absl::UnimplementedError(
          fmt::format("{} does not know {}; it is not {}, or is older than this sottoctl",
                      target.address, method, target.daemon));
    default:
      return absl::Status(static_cast<absl::StatusCode>(status.error_code()), StatusWords(status));
  }
}

}  // namespace sotto::tools
