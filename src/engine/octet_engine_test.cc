// The C interface: results of the C++ engine, errors by code and message, one context for each thread, no allocation in
// a run.
#include "engine/octet_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

#include "engine/engine.h"
#include "engine/plan.h"
#include "engine/random_lowered.h"

// Counts what this program allocates while `counting`.
namespace {
std::atomic<bool> counting{false};
std::atomic<int64_t> allocations{0};
void* Allocate(size_t bytes) {
  if (counting) ++allocations;
  if (void* p = std::malloc(bytes > 0 ? bytes : 1)) return p;
  throw std::bad_alloc();
}
}  // namespace
void* operator new(size_t bytes) {
  return Allocate(bytes);
}
void* operator new[](size_t bytes) {
  return Allocate(bytes);
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  if (counting) ++allocations;
  return std::malloc(bytes > 0 ? bytes : 1);
}
void* operator new[](size_t bytes, const std::nothrow_t& tag) noexcept {
  return operator new(bytes, tag);
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete[](void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, size_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, size_t) noexcept {
  std::free(p);
}

namespace octet::engine {
namespace {

using testing::HasSubstr;

std::string DemoPlan(unsigned seed) {
  LoweredGraphMaker maker(seed);
  return SerializePlan({maker.Make(14, 3, 19, 17), {{"network", "random"}}});
}

struct Loaded {
  octet_engine* engine = nullptr;
  explicit Loaded(const std::string& plan) {
    EXPECT_EQ(octet_engine_load_memory(plan.data(), plan.size(), &engine), OCTET_OK) << octet_last_error();
  }
  ~Loaded() { octet_engine_free(engine); }
};

TEST(CApi, RunsLikeTheEngine) {
  const std::string plan = DemoPlan(21);
  const Loaded loaded(plan);
  ASSERT_EQ(octet_engine_input_count(loaded.engine), 1);
  ASSERT_EQ(octet_engine_output_count(loaded.engine), 2);
  octet_tensor_info info;
  ASSERT_EQ(octet_engine_input(loaded.engine, 0, &info), OCTET_OK);
  EXPECT_STREQ(info.name, "input_1");
  EXPECT_EQ(info.elements, -1);
  EXPECT_STREQ(octet_engine_info(loaded.engine, "network"), "random");
  EXPECT_EQ(octet_engine_info(loaded.engine, "absent"), nullptr);
  octet_context* context = nullptr;
  ASSERT_EQ(octet_context_create(loaded.engine, 2, 2, &context), OCTET_OK) << octet_last_error();
  ASSERT_EQ(octet_context_input(context, 0, &info), OCTET_OK);
  ASSERT_EQ(info.rank, 4);
  EXPECT_EQ(info.shape[0], 2);
  ASSERT_EQ(info.elements, 2 * 3 * 19 * 17);
  const Tensor image = RandomInput({2, 3, 19, 17}, 3);
  const std::vector<Tensor> want =
      Engine::FromGraph(DeserializePlan(plan, "memory").graph).NewContext({2, 1, false})->Run({{"input_1", image}});
  std::vector<std::vector<float>> out;
  std::vector<float*> pointers;
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(octet_context_output(context, i, &info), OCTET_OK);
    out.emplace_back(info.elements);
  }
  for (auto& o : out) pointers.push_back(o.data());
  const float* in = image.data<float>();
  ASSERT_EQ(octet_context_run(context, &in, 1, pointers.data(), 2), OCTET_OK) << octet_last_error();
  for (size_t i = 0; i < 2; ++i) {
    ASSERT_EQ(out[i].size() * sizeof(float), want[i].bytes());
    EXPECT_EQ(std::memcmp(out[i].data(), want[i].raw(), want[i].bytes()), 0);
  }
  octet_context_free(context);
}

TEST(CApi, ErrorsHaveACodeAndAMessage) {
  octet_engine* engine = nullptr;
  EXPECT_EQ(octet_engine_load("/nowhere/no.plan", &engine), OCTET_BAD_PLAN);
  EXPECT_THAT(octet_last_error(), HasSubstr("/nowhere/no.plan"));
  EXPECT_EQ(engine, nullptr);
  EXPECT_EQ(octet_engine_load(nullptr, &engine), OCTET_INVALID_ARGUMENT);
  EXPECT_EQ(octet_engine_load_memory("text", 4, &engine), OCTET_BAD_PLAN);
  EXPECT_THAT(octet_last_error(), HasSubstr("not an octet plan"));
  const Loaded loaded(DemoPlan(22));
  octet_context* context = nullptr;
  EXPECT_EQ(octet_context_create(loaded.engine, 0, 1, &context), OCTET_INVALID_ARGUMENT);
  EXPECT_THAT(octet_last_error(), HasSubstr("a batch of 0"));
  EXPECT_EQ(octet_context_create(loaded.engine, 1, 0, &context), OCTET_INVALID_ARGUMENT);
  ASSERT_EQ(octet_context_create(loaded.engine, 1, 1, &context), OCTET_OK);
  octet_tensor_info info;
  EXPECT_EQ(octet_context_output(context, 2, &info), OCTET_INVALID_ARGUMENT);
  const float* none = nullptr;
  float* nowhere[2] = {nullptr, nullptr};
  EXPECT_EQ(octet_context_run(context, &none, 1, nowhere, 2), OCTET_INVALID_ARGUMENT);
  EXPECT_THAT(octet_last_error(), HasSubstr("input 0 is null"));
  EXPECT_EQ(octet_context_run(context, &none, 1, nowhere, 1), OCTET_INVALID_ARGUMENT);
  EXPECT_THAT(octet_last_error(), HasSubstr("1 inputs and 1 outputs; the network has 1 and 2"));
  octet_context_free(context);
  octet_context_free(nullptr);
  octet_engine_free(nullptr);
}

// Four threads, each with a context of its own on one engine: everyone gets the bits of a run alone.
TEST(CApi, ContextsRunAtTheSameTime) {
  const Loaded loaded(DemoPlan(23));
  const auto run = [&](octet_context* context, unsigned seed) {
    octet_tensor_info info;
    octet_context_input(context, 0, &info);
    const Tensor image = RandomInput(Shape(info.shape, info.shape + info.rank), seed);
    std::vector<std::vector<float>> out;
    std::vector<float*> pointers;
    for (int i = 0; i < 2; ++i) {
      octet_context_output(context, i, &info);
      out.emplace_back(info.elements);
    }
    for (auto& o : out) pointers.push_back(o.data());
    const float* in = image.data<float>();
    EXPECT_EQ(octet_context_run(context, &in, 1, pointers.data(), 2), OCTET_OK);
    return out;
  };
  octet_context* alone = nullptr;
  ASSERT_EQ(octet_context_create(loaded.engine, 1, 1, &alone), OCTET_OK);
  std::vector<std::vector<std::vector<float>>> want;
  for (unsigned seed = 0; seed < 4; ++seed) want.push_back(run(alone, seed));
  octet_context_free(alone);
  std::atomic<int> different{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      octet_context* context = nullptr;
      if (octet_context_create(loaded.engine, 1, 1 + static_cast<int>(t) % 2, &context) != OCTET_OK) ++different;
      for (int i = 0; i < 20; ++i) different += run(context, t) != want[t];
      octet_context_free(context);
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(different.load(), 0);
}

TEST(CApi, ARunAllocatesNothing) {
  for (unsigned seed = 30; seed < 40; ++seed) {
    const Loaded loaded(DemoPlan(seed));
    // 1 image, and 19: more than one slice, of two sizes with one thread.
    for (const auto& [batch, threads] : {std::pair{1, 1}, {1, 2}, {19, 1}, {19, 2}}) {
      octet_context* context = nullptr;
      ASSERT_EQ(octet_context_create(loaded.engine, batch, threads, &context), OCTET_OK);
      octet_tensor_info info;
      octet_context_input(context, 0, &info);
      const std::vector<float> image(info.elements, 0.3f);
      std::vector<std::vector<float>> out;
      for (int i = 0; i < 2; ++i) {
        octet_context_output(context, i, &info);
        out.emplace_back(info.elements);
      }
      float* pointers[2] = {out[0].data(), out[1].data()};
      const float* in = image.data();
      octet_context_run(context, &in, 1, pointers, 2);
      allocations = 0;
      counting = true;
      for (int i = 0; i < 3; ++i) octet_context_run(context, &in, 1, pointers, 2);
      counting = false;
      EXPECT_EQ(allocations.load(), 0) << "seed " << seed << " batch " << batch << " threads " << threads;
      octet_context_free(context);
    }
  }
}

}  // namespace
}  // namespace octet::engine
