// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/wire/sequence_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

namespace sotto::tools {
namespace {

using Arrival = SequenceWindow::Arrival;

TEST(SequenceWindow, TellsOrderDuplicatesAndStragglers) {
  SequenceWindow window;
  window.Start(10);
  EXPECT_EQ(window.Note(10), Arrival::kInOrder);
  EXPECT_EQ(window.Note(10), Arrival::kDuplicate);
  EXPECT_EQ(window.Note(13), Arrival::kInOrder);
  EXPECT_EQ(window.Note(12), Arrival::kReordered);
  EXPECT_EQ(window.Note(12), Arrival::kDuplicate);
  EXPECT_EQ(window.Note(11), Arrival::kReordered);
  EXPECT_EQ(window.Note(9), Arrival::kStale);
  EXPECT_EQ(window.Note(14), Arrival::kInOrder);
  window.Start(20);
  EXPECT_EQ(window.Note(14), Arrival::kStale);
  EXPECT_EQ(window.Note(20), Arrival::kInOrder);
}

TEST(SequenceWindow, GapsLongerThanTheWindowForgetNoneOfItsEdges) {
  SequenceWindow window;
  window.Start(0);
  EXPECT_EQ(window.Note(0), Arrival::kInOrder);
  EXPECT_EQ(window.Note(63), Arrival::kInOrder);
  EXPECT_EQ(window.Note(0), Arrival::kDuplicate) << "the oldest in the window";
  EXPECT_EQ(window.Note(64), Arrival::kInOrder);
  EXPECT_EQ(window.Note(1), Arrival::kReordered);
  EXPECT_EQ(window.Note(1000), Arrival::kInOrder);
  EXPECT_EQ(window.Note(999), Arrival::kReordered);
  EXPECT_EQ(window.Note(1000), Arrival::kDuplicate);
  EXPECT_EQ(window.Note(1064), Arrival::kInOrder);
  EXPECT_EQ(window.Note(1001), Arrival::kReordered);
}

TEST(SequenceWindow, AgreesWithASetOnRandomArrivalsAcrossTheWrap) {
  std::mt19937 random(3);
  SequenceWindow window;
  const uint32_t first = 0xffffff00;
  window.Start(first);
  std::set<uint32_t> seen;  // offsets from first
  uint32_t highest = 0;
  bool any = false;
  for (int i = 0; i < 100'000; ++i) {
    // Up to 40 back, so always inside the window, or up to 3 ahead.
    const uint32_t back = random() % 41;
    const uint32_t offset =
        random() % 2 == 0 ? highest + random() % 4 : highest - std::min(highest, back);
    const Arrival expected = seen.contains(offset)       ? Arrival::kDuplicate
                             : (any && offset < highest) ? Arrival::kReordered
                                                         : Arrival::kInOrder;
    ASSERT_EQ(window.Note(first + offset), expected) << "arrival " << i;
    seen.insert(offset);
    highest = std::max(highest, offset);
    any = true;
  }
}

}  // namespace
}  // namespace sotto::tools
