// SPDX-License-Identifier: Apache-2.0
// Benchmarks of the dataplane's parts, with EAL started as unit tests start it.
#include <benchmark/benchmark.h>
#include <rte_eal.h>

#include <string>
#include <thread>
#include <vector>

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  // A second core is for the second worker.
  const char* lcores = std::thread::hardware_concurrency() > 1 ? "0@0,1@1" : "0@0";
  std::vector<std::string> arguments = {
      argv[0], "--no-huge",      "--no-shconf", "--no-pci", "-m",
      "512",   "--no-telemetry", "--lcores",    lcores,     "--log-level=lib.eal:warning"};
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  if (rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) < 0) return 1;
  benchmark::RunSpecifiedBenchmarks();
  // Scenes are freed by the end of the process, after EAL: nothing of theirs is used then.
  return 0;
}
