// Plan files: round trip, and every kind of damage.
#include "engine/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <random>

#include "base/error.h"
#include "base/files.h"
#include "engine/engine.h"
#include "engine/random_lowered.h"

namespace octet::engine {
namespace {

using testing::HasSubstr;

Plan MakePlan() {
  LoweredGraphMaker maker(12);
  return {maker.Make(8, 3, 9, 11), {{"network", "random"}, {"classmap", "{\"0\":\"cat\"}"}}};
}

std::string ErrorOf(const std::string& bytes) {
  try {
    DeserializePlan(bytes, "x.plan");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUser) << e.what();
    return e.what();
  }
  return "";
}

std::string WithChecksum(std::string body) {
  const uint64_t sum = PlanChecksum(body.data(), body.size());
  body.append(reinterpret_cast<const char*>(&sum), 8);
  return body;
}

TEST(Plan, RoundTrip) {
  const Plan plan = MakePlan();
  const Plan back = DeserializePlan(SerializePlan(plan), "x.plan");
  EXPECT_EQ(back.graph, plan.graph);
  EXPECT_EQ(back.info, plan.info);
}

TEST(Plan, FileRunsAsTheGraphDid) {
  const Plan plan = MakePlan();
  const std::string path = testing::TempDir() + "/engine_plan_test" + std::to_string(::getpid()) + ".plan";
  WritePlan(path, plan);
  const Tensor image = RandomInput({1, 3, 9, 11}, 3);
  const std::vector<Tensor> want = Engine::FromGraph(plan.graph).NewContext()->Run({{"input_1", image}});
  const Engine engine = Engine::Load(path);
  const std::vector<Tensor> got = engine.NewContext()->Run({{"input_1", image}});
  for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(got[i], want[i]);
  EXPECT_EQ(engine.info().at("network"), "random");
  // The file's memory was given back: its weights are read again when somebody asks.
  EXPECT_EQ(engine.graph(), plan.graph);
  // Another plan under the same name is another file.
  WritePlan(path, {LoweredGraphMaker(13).Make(8, 3, 9, 11), {}});
  EXPECT_EQ(engine.graph(), plan.graph);
}

TEST(Plan, EveryTruncationIsAnError) {
  const std::string bytes = SerializePlan(MakePlan());
  for (size_t size = 0; size < bytes.size(); size += size < 64 ? 1 : 997) {
    EXPECT_THAT(ErrorOf(bytes.substr(0, size)), HasSubstr("'x.plan'")) << size;
  }
}

TEST(Plan, EveryFlippedByteIsAnError) {
  const std::string bytes = SerializePlan(MakePlan());
  for (size_t at = 0; at < bytes.size(); at += at < 64 ? 1 : 499) {
    std::string bad = bytes;
    bad[at] = static_cast<char>(bad[at] ^ 0x21);
    EXPECT_NE(ErrorOf(bad), "") << at;
  }
}

// Damage that has a right checksum (a bad writer, or malice): sizes inside the file are not believed.
TEST(Plan, WrongSizesInsideAreErrors) {
  const std::string bytes = SerializePlan(MakePlan());
  const std::string body = bytes.substr(0, bytes.size() - 8);
  for (size_t at = 16; at + 8 <= body.size(); at += at < 400 ? 1 : 211) {
    for (const uint64_t value : {uint64_t{0xffffffffffffffff}, uint64_t{0x7fffffff}}) {
      std::string bad = body;
      std::memcpy(&bad[at], &value, 8);
      try {
        DeserializePlan(WithChecksum(bad), "x.plan");  // may be harmless: weights are free
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kUser) << e.what();
      }
    }
  }
}

// Any byte of a small plan wrong, checksum right: an error, or a network that runs; never a crash.
TEST(Plan, DamageIsAnErrorOrRuns) {
  LoweredGraphMaker maker(3);
  const std::string bytes = SerializePlan({maker.Make(6, 3, 5, 4), {{"network", "random"}}});
  const std::string body = bytes.substr(0, bytes.size() - 8);
  std::mt19937 random(1);
  int runs = 0, errors = 0;
  const size_t step = body.size() > 6000 ? body.size() / 6000 + 1 : 1;
  for (size_t at = 16; at < body.size(); at += at < 4000 ? 1 : step) {
    std::string bad = body;
    bad[at] = static_cast<char>(at % 3 ? random() : bad[at] ^ (1 << random() % 8));
    try {
      const Plan plan = DeserializePlan(WithChecksum(bad), "x.plan");
      const auto context = Engine::FromGraph(plan.graph, plan.info).NewContext();
      std::map<std::string, Tensor> inputs;
      for (const TensorInfo& info : context->inputs()) inputs[info.name] = RandomInput(info.shape, 1);
      context->Run(inputs);
      ++runs;
    } catch (const Error&) {
      ++errors;
    }
  }
  EXPECT_GT(runs, 100);
  EXPECT_GT(errors, 100);
}

TEST(Plan, SaysWhatIsWrong) {
  const std::string bytes = SerializePlan(MakePlan());
  EXPECT_THAT(ErrorOf(""), HasSubstr("the file is empty"));
  EXPECT_THAT(ErrorOf("PNG and so on, no plan at all"), HasSubstr("is not an octet plan"));
  EXPECT_THAT(ErrorOf(bytes.substr(0, bytes.size() - 1)), HasSubstr("truncated or damaged"));
  std::string other = bytes;
  other[8] = 9;
  EXPECT_THAT(ErrorOf(other), HasSubstr("has version 9; this octet reads version 2"));
  try {
    ReadPlan("/nonexistent/x.plan");
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("/nonexistent/x.plan"));
  }
}

}  // namespace
}  // namespace octet::engine
