// SPDX-License-Identifier: Apache-2.0
// Loads the dice of coturn's client (with LD_PRELOAD). It draws channel numbers from 0x4000-0x7FFF,
// the range of RFC 5766; RFC 8656 ended it at 0x4FFF, and a server must refuse the rest. The client
// stays as Debian ships it: it takes 14 bits of eight random bytes, and here the two highest of
// these are zero and the others count, so that it never draws a number twice for one allocation.
#include <sys/random.h>

#include <atomic>
#include <cstddef>

extern "C" __attribute__((visibility("default"))) int RAND_bytes(unsigned char* bytes, int size) {
  for (int done = 0; done < size;) {
    const ssize_t n = getrandom(bytes + done, static_cast<size_t>(size - done), 0);
    if (n < 0) return 0;
    done += static_cast<int>(n);
  }
  if (size == sizeof(long)) {
    static std::atomic<unsigned> draws{0};
    const unsigned draw = draws.fetch_add(1);
    bytes[0] = static_cast<unsigned char>(draw);
    bytes[1] = static_cast<unsigned char>((bytes[1] & 0xc0) | (draw >> 8 & 0x0f));
  }
  return 1;
}
