// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/endpoint.h"

#include <gtest/gtest.h>

namespace sotto::tools {
namespace {

TEST(EndpointTest, ReadsUrls) {
  struct {
    const char* url;
    const char* host;
    uint16_t port;
    const char* path;
    const char* origin;
  } const kGood[] = {
      {"wss://example.org", "example.org", 443, "/v1", "https://example.org"},
      {"wss://example.org/", "example.org", 443, "/v1", "https://example.org"},
      {"wss://example.org:8443/v1", "example.org", 8443, "/v1", "https://example.org:8443"},
      {"wss://192.0.2.1:443/v1", "192.0.2.1", 443, "/v1", "https://192.0.2.1"},
      {"wss://[2001:db8::1]:8443/x", "2001:db8::1", 8443, "/x", "https://[2001:db8::1]:8443"},
  };
  for (const auto& good : kGood) {
    const auto endpoint = Endpoint::Parse(good.url);
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    EXPECT_EQ(endpoint->host, good.host) << good.url;
    EXPECT_EQ(endpoint->port, good.port) << good.url;
    EXPECT_EQ(endpoint->path, good.path) << good.url;
    EXPECT_EQ(endpoint->origin(), good.origin) << good.url;
  }
}

TEST(EndpointTest, RefusesWhatIsNone) {
  for (const char* wrong :
       {"", "example.org", "https://example.org", "ws://example.org", "wss://", "wss://:443",
        "wss://example.org:0", "wss://example.org:65536", "wss://example.org:x", "wss://exa mple",
        "wss://[2001:db8::1", "wss://[2001:db8::1]x", "wss://2001:db8::1", "wss://h/a b",
        "wss://user@h/"}) {
    EXPECT_FALSE(Endpoint::Parse(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace sotto::tools
