// Sums, products, tables and gathers of every kernel set against the reference kernels, byte for byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "engine/kernels/testing.h"

namespace octet::engine {
namespace {

// Runs `kernel` of every set in two parts, codes and f32 results, and compares with the reference.
template <typename Args, typename Member>
void CheckCombine(std::mt19937& random, Args a, Member kernel) {
  const Image want(random, a.batch, a.channels, a.h, a.w, 0);
  std::vector<float> want_f32(a.batch * a.channels * a.h * a.w), got_f32(want_f32.size());
  a.out = want.codes;
  (ReferenceKernels().*kernel)(a, 0, 1);
  a.out = Codes{};
  a.out_f32 = want_f32.data();
  (ReferenceKernels().*kernel)(a, 0, 1);
  for (const KernelSet* set : Sets()) {
    for (const int64_t border : {0, 1}) {
      Image got(random, a.batch, a.channels, a.h, a.w, border);
      for (int part = 0; part < 2; ++part) {
        a.out = got.codes;
        (set->*kernel)(a, part, 2);
        a.out = Codes{};
        a.out_f32 = got_f32.data();
        (set->*kernel)(a, part, 2);
      }
      EXPECT_EQ(got.Nchw(), want.Nchw()) << set->name << " channels " << a.channels << " width " << a.w;
      EXPECT_EQ(got_f32, want_f32) << set->name;
    }
  }
}

TEST(Kernels, Sum) {
  std::mt19937 random(7);
  for (int64_t c : {1, 3, 16, 24, 64, 80}) {
    for (int64_t w : {1, 5, 8}) {
      const Image x(random, 2, c, 3, w, 1), y(random, 2, c, 3, w, 0), z(random, 2, c, 3, w, 2);
      for (const quant::Activation& activation : Activations()) {
        for (const int count : {2, 3, 5}) {
          SumArgs a;
          a.batch = 2;
          a.channels = c;
          a.h = 3;
          a.w = w;
          a.count = count;
          for (int i = 0; i < count; ++i) {
            a.in[i] = (i % 3 == 0 ? x : i % 3 == 1 ? y : z).codes;
            a.scale[i] = 0.013f + 0.004f * static_cast<float>(i);
          }
          a.activation = activation;
          a.quantizer = QuantizerOf(0.017f, activation);
          CheckCombine(random, a, &KernelSet::sum);
        }
      }
    }
  }
}

TEST(Kernels, Mul) {
  std::mt19937 random(17);
  for (int64_t c : {1, 3, 16, 24, 32, 64, 80, 96, 144, 192}) {
    for (int64_t w : {1, 5, 8}) {
      for (const bool gate : {true, false}) {
        const Image x(random, 2, c, 3, w, 1), y(random, 2, c, gate ? 1 : 3, gate ? 1 : w, 0);
        MulArgs a;
        a.batch = 2;
        a.channels = c;
        a.h = 3;
        a.w = w;
        a.gate = gate;
        a.a = x.codes;
        a.b = y.codes;
        a.a_scale = 0.021f;
        a.b_scale = 1.0f / 127;
        a.activation = Activations()[(c + w) % Activations().size()];
        a.quantizer = QuantizerOf(0.011f, a.activation);
        std::vector<float> scratch(2 * 64 * ((c + 15) / 16));
        a.scratch = scratch.data();
        CheckCombine(random, a, &KernelSet::mul);
      }
    }
  }
}

TEST(Kernels, LutAndGather) {
  std::mt19937 random(18);
  for (int64_t c : {1, 3, 16, 24, 64, 80, 130}) {
    for (int64_t w : {1, 5, 8}) {
      const Image x(random, 2, c, 3, w, 1);
      LutArgs a;
      a.batch = 2;
      a.channels = c;
      a.h = 3;
      a.w = w;
      a.in = x.codes;
      for (uint8_t& t : a.table) t = static_cast<uint8_t>(random());
      std::vector<int64_t> rows, columns;
      for (int64_t h = 0; h < 7; ++h) rows.push_back(static_cast<int64_t>(random() % 3));
      for (int64_t i = 0; i < 2 * w; ++i) columns.push_back(static_cast<int64_t>(random() % w));
      GatherArgs g;
      g.batch = 2;
      g.channels = c;
      g.h = 7;
      g.w = 2 * w;
      g.rows = rows.data();
      g.columns = columns.data();
      g.in = x.codes;
      const Image want(random, 2, c, 3, w, 0), want_gather(random, 2, c, 7, 2 * w, 0);
      a.out = want.codes;
      g.out = want_gather.codes;
      ReferenceKernels().lut(a, 0, 1);
      ReferenceKernels().gather(g, 0, 1);
      for (const KernelSet* set : Sets()) {
        Image got(random, 2, c, 3, w, 1), got_gather(random, 2, c, 7, 2 * w, 1);
        for (int part = 0; part < 2; ++part) {
          a.out = got.codes;
          g.out = got_gather.codes;
          set->lut(a, part, 2);
          set->gather(g, part, 2);
        }
        EXPECT_EQ(got.Nchw(), want.Nchw()) << set->name;
        EXPECT_EQ(got_gather.Nchw(), want_gather.Nchw()) << set->name;
      }
    }
  }
}

TEST(Kernels, Pick) {
  std::mt19937 random(19);
  for (const int64_t c : {1, 3, 16, 24, 64, 116}) {
    const Image x(random, 2, c, 3, 5, 1);
    for (const int kind : {0, 1, 2, 3}) {  // a slice, a shuffle of two groups, backwards, at random
      std::vector<int32_t> map;
      for (int64_t i = 0; i < (kind == 0 ? c / 2 + 1 : c); ++i) {
        const int64_t of[] = {i + (c - 1) / 2, i % 2 * (c / 2) + i / 2, c - 1 - i, static_cast<int64_t>(random() % c)};
        map.push_back(static_cast<int32_t>(std::min(of[kind], c - 1)));
      }
      const ChannelPick packed = PackPick(map);
      PickArgs a;
      a.batch = 2;
      a.h = 3;
      a.w = 5;
      a.packed = &packed;
      a.in = x.codes;
      const Image want(random, 2, static_cast<int64_t>(map.size()), 3, 5, 0);
      a.out = want.codes;
      ReferenceKernels().pick(a, 0, 1);
      for (const KernelSet* set : Sets()) {
        Image got(random, 2, static_cast<int64_t>(map.size()), 3, 5, 1);
        a.out = got.codes;
        for (int part = 0; part < 2; ++part) set->pick(a, part, 2);
        EXPECT_EQ(got.Nchw(), want.Nchw()) << set->name << " channels " << c << " kind " << kind;
      }
    }
  }
}

}  // namespace
}  // namespace octet::engine
