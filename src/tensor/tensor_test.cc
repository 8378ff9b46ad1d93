#include "tensor/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace octet {
namespace {

TEST(Tensor, StartsAtZeroAndIsAligned) {
  const Tensor t(DType::kS32, {2, 3});
  EXPECT_EQ(t.size(), 6);
  EXPECT_EQ(t.bytes(), 24U);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(t.raw()) % 64, 0U);
  EXPECT_THAT(t.ToVector<int64_t>(), testing::Each(0));
}

TEST(Tensor, WritingACopyLeavesTheOriginal) {
  const Tensor a = Tensor::From<float>({2}, {1, 2});
  Tensor b = a;
  EXPECT_EQ(a.raw(), b.raw());
  b.mutable_data<float>()[0] = 5;
  EXPECT_EQ(a.data<float>()[0], 1);
  EXPECT_NE(a, b);
  EXPECT_EQ(b, Tensor::From<float>({2}, {5, 2}));
}

TEST(Tensor, ReshapeShares) {
  const Tensor a = Tensor::From<int8_t>({2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(a.Reshaped({4}).raw(), a.raw());
  EXPECT_THROW(a.Reshaped({5}), Error);
}

TEST(Tensor, AnAliasIsNeverWritten) {
  const auto owner = std::make_shared<std::vector<int8_t>>(std::vector<int8_t>{1, 2, 3});
  Tensor a = Tensor::Alias(DType::kS8, {2}, owner->data() + 1, owner);
  EXPECT_EQ(a.raw(), owner->data() + 1);
  EXPECT_EQ(a, Tensor::From<int8_t>({2}, {2, 3}));
  const Tensor b = a.Reshaped({2, 1});
  EXPECT_EQ(b.raw(), a.raw());
  EXPECT_EQ(owner.use_count(), 3);
  a.mutable_data<int8_t>()[0] = 9;
  EXPECT_EQ((*owner)[1], 2);
  EXPECT_EQ(owner.use_count(), 2);
  EXPECT_THAT(a.ToVector<int8_t>(), testing::ElementsAre(9, 3));
  EXPECT_THROW(Tensor::Alias(DType::kF32, {1}, reinterpret_cast<const char*>(a.raw()) + 1, owner), Error);
}

TEST(Tensor, FloatsBeyondAnIntegerBecomeItsNearestValue) {
  const Tensor t = Tensor::From<float>({4}, {3.7e19f, -3.7e19f, NAN, -2.5f});
  EXPECT_THAT(t.ToVector<int64_t>(), testing::ElementsAre(INT64_MAX, INT64_MIN, 0, -2));
  EXPECT_THAT(t.ToVector<int8_t>(), testing::ElementsAre(127, -128, 0, -2));
}

TEST(Tensor, SizesBeyondMemoryAreErrors) {
  EXPECT_THROW(NumElements({int64_t{1} << 40, int64_t{1} << 40}), Error);
  EXPECT_THROW(NumElements({int64_t{1} << 31, int64_t{1} << 31}), Error);
  EXPECT_EQ(NumElements({-1, int64_t{1} << 40}), -(int64_t{1} << 40));
}

TEST(Tensor, TypesAreChecked) {
  const Tensor a(DType::kF32, {1});
  EXPECT_THROW(a.data<int8_t>(), Error);
  EXPECT_EQ(DTypeFromName("s8"), DType::kS8);
  EXPECT_THROW(DTypeFromName("int8"), Error);
  EXPECT_EQ(ToString(Shape{-1, 3}), "[N,3]");
}

}  // namespace
}  // namespace octet
