// The threads of a context: barriers, errors, many runs.
#include "engine/team.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace octet::engine {
namespace {

TEST(Team, MembersMeetAfterEachStep) {
  for (const int size : {1, 2, 3}) {
    Team team(size);
    constexpr int kSteps = 50;
    std::vector<std::atomic<int>> done(kSteps);
    std::atomic<int> early{0};
    for (int run = 1; run <= 200; ++run) {
      team.Run([&](int) {
        for (int s = 0; s < kSteps; ++s) {
          done[s].fetch_add(1);
          team.Meet();
          if (done[s].load() < run * size) early.fetch_add(1);
        }
      });
    }
    EXPECT_EQ(early.load(), 0);
    EXPECT_EQ(done[kSteps - 1].load(), 200 * size);
  }
}

TEST(Team, AnErrorEndsTheRunForAllAndTheNextOneWorks) {
  Team team(3);
  for (int failing = 0; failing < 3; ++failing) {
    std::atomic<int> beyond{0};
    EXPECT_THROW(team.Run([&](int member) {
      if (member == failing) throw std::runtime_error("no");
      if (team.Meet()) beyond.fetch_add(1);
    }),
                 std::runtime_error);
    EXPECT_EQ(beyond.load(), 0);
    std::atomic<int> count{0};
    team.Run([&](int) { count.fetch_add(team.Meet() ? 1 : 100); });
    EXPECT_EQ(count.load(), 3);
  }
}

}  // namespace
}  // namespace octet::engine
