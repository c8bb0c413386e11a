// SPDX-License-Identifier: Apache-2.0
// main() of tests that need EAL: it starts once a process, without hugepages, devices or
// privileges.
#include <gmock/gmock.h>
#include <rte_eal.h>
#include <rte_errno.h>

#include <cstdio>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  // Listing tests must work before the libraries of the machine that runs them are in order.
  if (testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  std::vector<std::string> arguments = {
      argv[0], "--no-huge",      "--no-shconf", "--no-pci", "-m",
      "64",    "--no-telemetry", "-l",          "0",        "--log-level=lib.eal:warning"};
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  if (rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) < 0) {
    std::fprintf(stderr, "EAL doesn't start: %s\n", rte_strerror(rte_errno));
    return 1;
  }
  const int result = RUN_ALL_TESTS();
  rte_eal_cleanup();
  return result;
}
