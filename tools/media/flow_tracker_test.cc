// SPDX-License-Identifier: Apache-2.0
#include "tools/media/flow_tracker.h"

#include <gtest/gtest.h>

namespace sotto::tools {
namespace {

using Arrival = FlowTracker::Arrival;

TEST(FlowTrackerTest, TellsInOrderReorderedAndDuplicate) {
  FlowTracker flow;
  EXPECT_EQ(flow.Note(0), Arrival::kInOrder);
  EXPECT_EQ(flow.Note(1), Arrival::kInOrder);
  EXPECT_EQ(flow.Note(1), Arrival::kDuplicate);
  EXPECT_EQ(flow.Note(5), Arrival::kInOrder) << "a gap is a loss, not a reordering";
  EXPECT_EQ(flow.Note(3), Arrival::kReordered);
  EXPECT_EQ(flow.Note(3), Arrival::kDuplicate);
  EXPECT_EQ(flow.Note(4), Arrival::kReordered);
  EXPECT_EQ(flow.Note(0), Arrival::kDuplicate);
  EXPECT_EQ(flow.Note(6), Arrival::kInOrder);
}

TEST(FlowTrackerTest, RemembersAsFarBackAsTheStart) {
  FlowTracker flow;
  for (uint32_t i = 1; i < 200'000; ++i) ASSERT_EQ(flow.Note(i), Arrival::kInOrder);
  EXPECT_EQ(flow.Note(0), Arrival::kReordered);
  EXPECT_EQ(flow.Note(0), Arrival::kDuplicate);
  EXPECT_EQ(flow.Note(63), Arrival::kDuplicate);
}

TEST(FlowTrackerTest, FirstPacketMayBeAnyOther) {
  FlowTracker flow;
  EXPECT_EQ(flow.Note(7), Arrival::kInOrder);
  EXPECT_EQ(flow.Note(0), Arrival::kReordered);
}

}  // namespace
}  // namespace sotto::tools
