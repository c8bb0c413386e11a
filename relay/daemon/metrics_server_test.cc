// SPDX-License-Identifier: Apache-2.0
// The metrics server as those see it who scrape it, well-behaved or not: over sockets of their own.
#include "relay/daemon/metrics_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <string>
#include <thread>

namespace sotto {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using namespace std::chrono_literals;

MetricsServerOptions Options() {
  MetricsServerOptions options;
  options.listen = *TransportAddress::Parse("127.0.0.1:0");
  options.freshness = 0ms;
  return options;
}

class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool Send(std::string_view text) {
    return send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  // What comes within the time, until the end of the connection.
  std::string Read(std::chrono::milliseconds patience = 5s) {
    std::string text;
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!closed_) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          end - std::chrono::steady_clock::now());
      pollfd wait = {fd_, POLLIN, 0};
      if (left <= 0ms || poll(&wait, 1, static_cast<int>(left.count())) <= 0) break;
      char buffer[65536];
      const ssize_t size = recv(fd_, buffer, sizeof(buffer), 0);
      closed_ = size <= 0;
      if (size > 0) text.append(buffer, static_cast<size_t>(size));
    }
    return text;
  }
  // One answer of a connection that stays open.
  std::string ReadAnswer() {
    std::string text;
    size_t body = std::string::npos;
    size_t size = 0;
    while (!closed_ && (body == std::string::npos || text.size() < body + size)) {
      const std::string more = Read(50ms);
      text += more;
      body = text.find("\r\n\r\n");
      if (body == std::string::npos) continue;
      body += 4;
      const size_t length = text.find("Content-Length: ");
      size = length == std::string::npos ? 0 : std::stoul(text.substr(length + 16));
    }
    return text;
  }
  bool closed() const { return closed_; }

 private:
  const int fd_;
  bool closed_ = false;
};

class MetricsServerTest : public testing::Test {
 protected:
  void Start(MetricsServerOptions options = Options()) {
    auto opened = MetricsServer::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    server_ = *std::move(opened);
    server_->Serve(
        [this](MetricFamilies& families) { families.Gauge("scrapes", "How often.", ++scrapes_); });
  }
  std::string Ask(std::string_view request) {
    Client client(server_->port());
    EXPECT_TRUE(client.Send(request));
    return client.Read();
  }
  static std::string Get(std::string_view target = "/metrics") {
    return "GET " + std::string(target) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  }

  std::atomic<int> scrapes_ = 0;
  std::unique_ptr<MetricsServer> server_;
};

TEST_F(MetricsServerTest, AnswersInPrometheusTextFormat) {
  Start();
  const std::string answer = Ask(Get());
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(answer, HasSubstr("# HELP scrapes How often.\n# TYPE scrapes gauge\nscrapes 1\n"));
  EXPECT_THAT(Ask(Get("/metrics?x=1")), HasSubstr("scrapes 2\n"));
}

TEST_F(MetricsServerTest, AConnectionIsKeptForTheNextScrape) {
  Start();
  Client client(server_->port());
  for (const std::string expected : {"scrapes 1\n", "scrapes 2\n", "scrapes 3\n"}) {
    ASSERT_TRUE(client.Send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"));
    EXPECT_THAT(client.ReadAnswer(), HasSubstr(expected));
  }
}

TEST_F(MetricsServerTest, HeadHasNoBody) {
  Start();
  const std::string answer = Ask("HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("scrapes")));
}

TEST_F(MetricsServerTest, RefusesWhatIsntAScrape) {
  Start();
  EXPECT_THAT(Ask(Get("/")), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Ask("POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                  "Content-Length: 0\r\n\r\n"),
              StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(Ask("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789"),
              StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(Ask("\x16\x03\x01 TLS, say\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_EQ(scrapes_, 0);
}

TEST_F(MetricsServerTest, AHeaderHasABound) {
  Start();
  EXPECT_THAT(Ask("GET /metrics HTTP/1.1\r\nX: " + std::string(9000, 'x')),
              StartsWith("HTTP/1.1 431 "));
}

TEST_F(MetricsServerTest, ARequestThatTricklesInIsCutOff) {
  MetricsServerOptions options = Options();
  options.patience = 300ms;
  Start(options);
  Client slow(server_->port());
  const auto start = std::chrono::steady_clock::now();
  for (const char c :
       std::string("GET /metrics HTTP/1.1\r\nX: and on and on and on and on and on")) {
    if (!slow.Send({&c, 1})) break;
    slow.Read(20ms);
    if (slow.closed()) break;
  }
  EXPECT_TRUE(slow.closed());
  EXPECT_GE(std::chrono::steady_clock::now() - start, 250ms);
  EXPECT_THAT(Ask(Get()), HasSubstr("scrapes 1\n"));
}

TEST_F(MetricsServerTest, ThoseWhoOnlyConnectKeepNobodyOut) {
  MetricsServerOptions options = Options();
  options.max_connections = 4;
  Start(options);
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 64; ++i) idle.push_back(std::make_unique<Client>(server_->port()));
  EXPECT_THAT(Ask(Get()), HasSubstr("scrapes 1\n"));
  int open = 0;
  for (const auto& client : idle) {
    client->Read(20ms);
    open += client->closed() ? 0 : 1;
  }
  EXPECT_LE(open, 4);
}

TEST_F(MetricsServerTest, HammeringCollectsOnceInAWhile) {
  MetricsServerOptions options = Options();
  options.freshness = 1h;
  Start(options);
  for (int i = 0; i < 20; ++i) EXPECT_THAT(Ask(Get()), HasSubstr("scrapes 1\n"));
}

TEST_F(MetricsServerTest, EndsWhileScrapersAreConnected) {
  Start();
  Client quiet(server_->port());
  Client half(server_->port());
  ASSERT_TRUE(half.Send("GET /met"));
  ASSERT_THAT(Ask(Get()), HasSubstr("scrapes 1\n"));
  server_.reset();
  quiet.Read();
  EXPECT_TRUE(quiet.closed());
}

TEST_F(MetricsServerTest, AnAddressThatIsTakenIsSaid) {
  Start();
  MetricsServerOptions second = Options();
  second.listen.port = server_->port();
  const auto opened = MetricsServer::Open(second);
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(
      std::string(opened.status().message()),
      HasSubstr("[metrics] listen: can't listen on 127.0.0.1:" + std::to_string(server_->port())));
}

TEST(MetricFamiliesTest, SamplesOfOneNameAreOneFamilyAndBucketsBecomeCumulative) {
  MetricFamilies families;
  families.Counter("a_total", "A.", 1, {{"x", "1"}});
  families.Gauge("b", "B.", 2);
  families.Counter("a_total", "", 3, {{"x", "2"}});
  const MetricFamilies::Bucket buckets[] = {{1, 5}, {2, 0}, {9, 2}};
  families.Histogram("h", "H.", buckets, 12);
  const auto built = std::move(families).Take();
  ASSERT_EQ(built.size(), 3u);
  EXPECT_EQ(built[0].name, "a_total");
  EXPECT_EQ(built[0].help, "A.");
  ASSERT_EQ(built[0].metric.size(), 2u);
  EXPECT_EQ(built[0].metric[1].label[0].value, "2");
  const auto& histogram = built[2].metric[0].histogram;
  EXPECT_EQ(histogram.sample_count, 7u);
  EXPECT_EQ(histogram.bucket[1].cumulative_count, 5u);
  EXPECT_EQ(histogram.bucket[2].cumulative_count, 7u);
  EXPECT_TRUE(std::isinf(histogram.bucket[2].upper_bound));
}

TEST(ProcessMetricsTest, TellOfThisProcess) {
  MetricFamilies families;
  AddProcessMetrics(families);
  double cpu = -1, resident = -1, start = -1;
  for (const auto& family : std::move(families).Take()) {
    if (family.name == "process_cpu_seconds_total") cpu = family.metric[0].counter.value;
    if (family.name == "process_resident_memory_bytes") resident = family.metric[0].gauge.value;
    if (family.name == "process_start_time_seconds") start = family.metric[0].gauge.value;
  }
  EXPECT_GE(cpu, 0);
  EXPECT_GT(resident, 1 << 20);
  const auto now = static_cast<double>(time(nullptr));
  EXPECT_NEAR(start, now, 300);
}

}  // namespace
}  // namespace sotto
