// SPDX-License-Identifier: Apache-2.0
// Places calls to recipients of six classes in random order, as a caller who wants to know which
// is which, and writes down all that such a caller can see: what came, how large it was, and when.
//
//   sotto-oracle-probe --port P --identity-key PEM --calls N --rate R --ring-s S [--load]
//
// Standard output: a line for each call,
//   CLASS PLACED_NS PONG_NS TRAIN_NS KEYS_NS ENDED_NS
// (place to CallPlaced; a Ping right behind it to its Pong; eight more Pings, each sent when the
// Pong before has come; GetKeys right behind the first Ping to Keys; place to CallEnded less than S
// seconds), and a line "transcript CLASS HEX COUNT" for each transcript that differs.
//
// The recipients are another process, so that their work isn't the caller's. Those whom the
// operator bars are there already: whoever runs this has signed them in, and barred them.

#include <fmt/format.h>
#include <openssl/rand.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/signaling/probe_connection.h"
#include "tools/signaling_client/identity_minter.h"

namespace sotto::signaling {
namespace {

enum Class : int { kRinging, kSilenced, kBlocked, kOffline, kBarred, kUnknown, kClasses };
constexpr std::array<const char*, kClasses> kClassNames = {"ringing", "silenced", "blocked",
                                                           "offline", "barred",   "unknown"};
constexpr int kCallers = 48;
constexpr int kRecipients = 24;  // of each class
constexpr int kTrain = 8;

struct Options {
  uint16_t port = 0;
  std::string identity_key;
  int calls = 30'000;  // of all classes
  int rate = 250;      // calls a second
  int ring_s = 1;
  bool load = false;
};

// Names that tell nothing: the same size for all.
std::string CallerName(int i) { return fmt::format("caller-{:04}", i); }
std::string RecipientName(int of_class, int i) {
  return fmt::format("callee-{:04}", i * kClasses + of_class);
}

class Identities {
 public:
  explicit Identities(const std::string& pem) : minter_(tools::IdentityMinter::Load(pem).value()) {}
  std::string Of(const std::string& account) const {
    return minter_.Mint(account, time(nullptr), 3600);
  }

 private:
  tools::IdentityMinter minter_;
};

void Expect(const api::ServerFrame& answer, bool holds) {
  if (!holds) Die("unexpected answer: " + answer.ShortDebugString());
}

// --- The recipients

void AcknowledgeNotices(ProbeConnection& device, const api::Notices& notices) {
  api::ClientFrame frame;
  for (const api::Notice& notice : notices.notices())
    frame.mutable_ack_notices()->add_ids(notice.id());
  device.Send(std::move(frame));
}

[[noreturn]] void RunRecipients(const Options& options, int ready) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setpriority(PRIO_PROCESS, 0, 10);
  const Identities identities(options.identity_key);
  const auto tls = MakeClientTls();
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::vector<std::unique_ptr<ProbeConnection>> devices;
  for (const Class of_class : {kRinging, kSilenced, kBlocked, kOffline}) {
    for (int i = 0; i < kRecipients; ++i) {
      auto device = std::make_unique<ProbeConnection>(tls.get(), options.port,
                                                      identities.Of(RecipientName(of_class, i)));
      api::ClientFrame settings;
      settings.mutable_put_settings()->mutable_settings()->set_silence_unknown_callers(of_class ==
                                                                                       kSilenced);
      const api::ServerFrame done = device->Request(std::move(settings));
      Expect(done, done.has_done());
      for (int caller = 0; of_class == kBlocked && caller < kCallers; ++caller) {
        api::ClientFrame block;
        block.mutable_put_block()->set_account(CallerName(caller));
        block.mutable_put_block()->set_blocked(true);
        const api::ServerFrame blocked = device->Request(std::move(block));
        Expect(blocked, blocked.has_done());
      }
      if (of_class == kOffline) {
        api::ClientFrame goodbye;
        goodbye.mutable_goodbye();
        device->Send(std::move(goodbye));
        continue;
      }
      epoll_event event = {.events = EPOLLIN, .data = {.ptr = device.get()}};
      epoll_ctl(epoll, EPOLL_CTL_ADD, device->fd(), &event);
      devices.push_back(std::move(device));
    }
  }
  if (write(ready, "r", 1) != 1) Die("the caller is gone");
  int64_t next_ping = NowNs();
  while (true) {
    std::array<epoll_event, 64> events;
    const int count = epoll_wait(epoll, events.data(), events.size(), 1000);
    for (int i = 0; i < count; ++i) {
      auto& device = *static_cast<ProbeConnection*>(events[static_cast<size_t>(i)].data.ptr);
      device.Read([&](const api::ServerFrame& frame, int64_t) {
        if (frame.has_notices()) AcknowledgeNotices(device, frame.notices());
      });
    }
    if (NowNs() < next_ping) continue;
    next_ping = NowNs() + 10'000'000'000;
    for (auto& device : devices) device->Ping();
  }
}

// Keeps the server busy with what others ask of it: look-ups and pings, as fast as they are
// answered.
[[noreturn]] void RunLoad(const Options& options) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setpriority(PRIO_PROCESS, 0, 10);
  const Identities identities(options.identity_key);
  const auto tls = MakeClientTls();
  std::vector<std::unique_ptr<ProbeConnection>> devices;
  for (int i = 0; i < 4; ++i) {
    devices.push_back(std::make_unique<ProbeConnection>(
        tls.get(), options.port, identities.Of(fmt::format("load-{:04}", i))));
  }
  for (uint64_t round = 0;; ++round) {
    for (auto& device : devices) {
      api::ClientFrame frame;
      if (round % 4 == 0) {
        frame.mutable_get_keys()->set_account("somebody");
      } else {
        frame.mutable_ping();
      }
      device->Send(std::move(frame));
    }
    for (auto& device : devices) device->WaitAndRead([](const api::ServerFrame&, int64_t) {});
  }
}

// --- The caller

struct CallRecord {
  Class of_class = kUnknown;
  int64_t sent_ns = 0;
  int64_t placed_ns = 0;
  int64_t pong_ns = 0;
  int64_t train_ns = 0;
  int64_t keys_ns = 0;
  int64_t ended_ns = 0;
  std::string transcript;
  bool complete() const {
    return placed_ns != 0 && pong_ns != 0 && train_ns != 0 && keys_ns != 0 && ended_ns != 0;
  }
};

// Random values of fixed size become zeros: anything else that differs would remain.
api::ServerFrame Blanked(api::ServerFrame frame) {
  frame.clear_seq();
  frame.clear_ack();
  frame.clear_request();
  const auto blank = [](std::string* bytes) { std::fill(bytes->begin(), bytes->end(), '\0'); };
  if (frame.has_call_placed()) {
    blank(frame.mutable_call_placed()->mutable_place_id());
    blank(frame.mutable_call_placed()->mutable_call());
    blank(frame.mutable_call_placed()->mutable_relay()->mutable_username());
    blank(frame.mutable_call_placed()->mutable_relay()->mutable_credential());
  }
  if (frame.has_call_ended()) blank(frame.mutable_call_ended()->mutable_call());
  if (frame.has_keys()) {
    blank(frame.mutable_keys()->mutable_keys()->mutable_box());
    blank(frame.mutable_keys()->mutable_keys()->mutable_sign());
  }
  return frame;
}

class Caller {
 public:
  Caller(SSL_CTX* tls, uint16_t port, const std::string& identity)
      : connection_(tls, port, identity) {}

  int fd() const { return connection_.fd(); }
  bool busy() const { return train_ != nullptr; }

  void Place(CallRecord& record, const std::string& recipient, const std::string& offer) {
    api::ClientFrame place;
    std::string place_id(16, '\0');
    RAND_bytes(reinterpret_cast<uint8_t*>(place_id.data()), 16);
    place.mutable_place_call()->set_place_id(place_id);
    place.mutable_place_call()->set_recipient(recipient);
    place.mutable_place_call()->set_offer(offer);
    api::ClientFrame ping;
    ping.mutable_ping();
    api::ClientFrame keys;
    keys.mutable_get_keys()->set_account("somebody-else");
    placing_[connection_.Queue(std::move(place))] = &record;
    connection_.Queue(std::move(ping));
    asking_[connection_.Queue(std::move(keys))] = &record;
    train_ = &record;
    pongs_ = 0;
    record.sent_ns = NowNs();
    connection_.Flush();
  }

  // Returns how many calls are over.
  int Read() {
    int over = 0;
    connection_.Read([&](const api::ServerFrame& frame, int64_t now) { over += Take(frame, now); });
    return over;
  }

 private:
  int Take(const api::ServerFrame& frame, int64_t now) {
    if (frame.has_pong()) {
      if (train_ == nullptr) return 0;  // answers what acknowledged
      if (pongs_ == 0) train_->pong_ns = now - train_->sent_ns;
      if (++pongs_ <= kTrain) {
        connection_.Ping();
        return 0;
      }
      train_->train_ns = now - train_->sent_ns - train_->pong_ns;
      return Finish(*std::exchange(train_, nullptr));
    }
    if (frame.has_keys()) {
      CallRecord& record = *asking_.at(frame.request());
      asking_.erase(frame.request());
      record.keys_ns = now - record.sent_ns;
      record.transcript += Blanked(frame).SerializeAsString();
      return Finish(record);
    }
    if (frame.has_call_placed()) {
      CallRecord& record = *placing_.at(frame.request());
      placing_.erase(frame.request());
      record.placed_ns = now - record.sent_ns;
      record.transcript += Blanked(frame).SerializeAsString();
      calls_[frame.call_placed().call()] = &record;
      return 0;
    }
    if (frame.has_call_ended()) {
      const auto call = calls_.find(frame.call_ended().call());
      if (call == calls_.end()) Die("the end of no call");
      CallRecord& record = *call->second;
      calls_.erase(call);
      record.ended_ns = now - record.sent_ns;
      record.transcript += Blanked(frame).SerializeAsString();
      return Finish(record);
    }
    // Whatever else comes is part of what the caller sees.
    Die("a caller was sent " + frame.ShortDebugString());
  }
  static int Finish(const CallRecord& record) { return record.complete() ? 1 : 0; }

  ProbeConnection connection_;
  std::map<uint64_t, CallRecord*> placing_;
  std::map<uint64_t, CallRecord*> asking_;
  std::map<std::string, CallRecord*> calls_;
  CallRecord* train_ = nullptr;
  int pongs_ = 0;
};

void RunCallers(const Options& options) {
  const Identities identities(options.identity_key);
  const auto tls = MakeClientTls();
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.push_back(
        std::make_unique<Caller>(tls.get(), options.port, identities.Of(CallerName(i))));
    epoll_event event = {.events = EPOLLIN, .data = {.ptr = callers.back().get()}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, callers.back()->fd(), &event);
  }
  std::mt19937_64 random(std::random_device{}());
  std::vector<CallRecord> records(static_cast<size_t>(options.calls));
  for (size_t i = 0; i < records.size(); ++i)
    records[i].of_class = static_cast<Class>(i % kClasses);
  std::shuffle(records.begin(), records.end(), random);
  std::exponential_distribution<double> pause(options.rate);
  const std::array<std::string, 3> offers = {std::string(512, 'o'), std::string(2048, 'o'),
                                             std::string(8192, 'o')};

  size_t placed = 0;
  size_t over = 0;
  int64_t next_ns = NowNs();
  const int64_t deadline =
      next_ns + (options.calls / options.rate + options.ring_s + 120) * 1'000'000'000LL;
  while (over < records.size()) {
    if (NowNs() > deadline) Die(fmt::format("{} of {} calls have ended", over, records.size()));
    if (placed < records.size() && NowNs() >= next_ns) {
      Caller& caller = *callers[random() % kCallers];
      if (!caller.busy()) {
        CallRecord& record = records[placed++];
        caller.Place(record,
                     RecipientName(record.of_class, static_cast<int>(random() % kRecipients)),
                     offers[random() % offers.size()]);
      }
      next_ns += static_cast<int64_t>(pause(random) * 1e9);
    }
    const int64_t wait_ns =
        placed < records.size() ? std::max<int64_t>(0, next_ns - NowNs()) : 100'000'000;
    const timespec wait = {wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
    std::array<epoll_event, 64> events;
    const int count = epoll_pwait2(epoll, events.data(), events.size(), &wait, nullptr);
    for (int i = 0; i < count; ++i) {
      over += static_cast<size_t>(
          static_cast<Caller*>(events[static_cast<size_t>(i)].data.ptr)->Read());
    }
  }

  std::map<std::pair<Class, std::string>, int> transcripts;
  for (const CallRecord& record : records) {
    ++transcripts[{record.of_class, record.transcript}];
    fmt::print("{} {} {} {} {} {}\n", kClassNames[record.of_class], record.placed_ns,
               record.pong_ns, record.train_ns, record.keys_ns,
               record.ended_ns - options.ring_s * 1'000'000'000LL);
  }
  for (const auto& [key, count] : transcripts) {
    std::string hex;
    for (const char byte : key.second) hex += fmt::format("{:02x}", static_cast<uint8_t>(byte));
    fmt::print("transcript {} {} {}\n", kClassNames[key.first], hex, count);
  }
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Measures what a caller can see of whom it calls");
  app.add_option("--port", options.port, "of sotto-signald on 127.0.0.1")->required();
  app.add_option("--identity-key", options.identity_key, "PEM file to mint identities with")
      ->required();
  app.add_option("--calls", options.calls, "in all, over five classes");
  app.add_option("--rate", options.rate, "calls a second");
  app.add_option("--ring-s", options.ring_s, "the server's [calls] ring_s");
  app.add_flag("--load", options.load, "with others who keep the server busy");
  CLI11_PARSE(app, argc, argv);

  int ready[2];
  if (pipe(ready) != 0) Die("no pipe");
  std::vector<pid_t> children = {fork()};
  if (children[0] == 0) RunRecipients(options, ready[1]);
  close(ready[1]);
  char byte;
  if (read(ready[0], &byte, 1) != 1) Die("the recipients aren't there");
  if (options.load) {
    children.push_back(fork());
    if (children.back() == 0) RunLoad(options);
  }
  RunCallers(options);
  for (const pid_t child : children) {
    // Had it died before, calls would have gone to nobody.
    if (waitpid(child, nullptr, WNOHANG) != 0) Die("a process of the probe has died");
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  return 0;
}

}  // namespace
}  // namespace sotto::signaling

int main(int argc, char** argv) { return sotto::signaling::Main(argc, argv); }
