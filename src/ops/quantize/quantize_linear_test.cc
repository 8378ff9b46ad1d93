#include <gtest/gtest.h>

#include "ops/testing.h"
#include "quant/quantize.h"

namespace octet::ops {
namespace {

template <typename Q>
Tensor Codes(Shape shape, const std::vector<int>& values) {
  return Tensor::From<Q>(std::move(shape), std::vector<Q>(values.begin(), values.end()));
}

TEST(QuantizeLinear, OnnxExampleU8) {
  const Tensor x = F({6}, {0, 2, 3, 1000, -254, -1000});
  EXPECT_EQ(RunOne("QuantizeLinear", {x, F({}, {2}), Codes<uint8_t>({}, {128})}),
            Codes<uint8_t>({6}, {128, 129, 130, 255, 1, 0}));
  EXPECT_EQ(RunOne("QuantizeLinear", {x, F({}, {2})}),
            Codes<uint8_t>({6}, {0, 1, 2, 255, 0, 0}));  // 1.5 -> 2; no zero point: u8
}

TEST(QuantizeLinear, PerAxisAndBack) {
  const Tensor x = F({2, 2}, {1, 2, 3, 4}), scale = F({2}, {0.5f, 2}), zero = Codes<int8_t>({2}, {0, 1});
  const Tensor columns = RunOne("QuantizeLinear", {x, scale, zero});
  EXPECT_EQ(columns, Codes<int8_t>({2, 2}, {2, 2, 6, 3}));
  const Tensor rows = RunOne("QuantizeLinear", {x, scale, zero}, {{"axis", int64_t{0}}});
  EXPECT_EQ(rows, Codes<int8_t>({2, 2}, {2, 4, 3, 3}));  // 1.5 -> 2, +1
  EXPECT_EQ(RunOne("DequantizeLinear", {rows, scale, zero}, {{"axis", int64_t{0}}}), F({2, 2}, {1, 2, 4, 4}));
  EXPECT_EQ(RunOne("DequantizeLinear", {Codes<int32_t>({2}, {-3, 70000}), F({}, {0.5f})}), F({2}, {-1.5f, 35000}));
}

TEST(QuantizeLinear, SymmetricCodesAreThoseOfTheQuantLayer) {
  const Tensor x = RandomF32({1000}, 1, -3, 3);
  const Tensor q = RunOne("QuantizeLinear", {x, F({}, {0.0173f}), Codes<int8_t>({}, {0})});
  for (int64_t i = 0; i < x.size(); ++i)
    EXPECT_EQ(q.data<int8_t>()[i], quant::QuantizeToS8(x.data<float>()[i], 0.0173f));
}

TEST(QuantizeLinear, Errors) {
  const Tensor x = RandomF32({2, 3, 4}, 1);
  ExpectUserError(
      [&] {
        RunOne("QuantizeLinear", {x, F({2}, {1, 1}), Codes<int8_t>({2}, {0, 0})});
      },
      {"(QuantizeLinear)", "2 elements", "axis 1", "has 3"});
  ExpectUserError(
      [&] {
        RunOne("QuantizeLinear", {x, F({3}, {1, 1, 1}), Codes<int8_t>({}, {0})});
      },
      {"zero point", "differ in size"});
  ExpectUserError([&] { RunOne("DequantizeLinear", {x, F({}, {1})}); }, {"expected element type s8, u8 or s32"});
}

// QuantRule::commutes: op(Q(x)) == Q(op(x)) for every operator that says so.
TEST(QuantRule, OperatorsThatCommuteWithQuantization) {
  InstallOps();
  using V = std::vector<int64_t>;
  struct Case {
    Shape shape;
    Tensors rest;
    ir::Attrs attrs;
    size_t outputs = 1;
  };
  const std::map<std::string, Case> cases = {
      {"MaxPool", {{1, 2, 6, 6}, {}, {{"kernel_shape", V{3, 3}}, {"pads", V{1, 1, 1, 1}}}}},
      {"GlobalMaxPool", {{1, 2, 6, 6}, {}, {}}},
      {"Reshape", {{2, 6}, {I({3, -1})}, {}}},
      {"Flatten", {{2, 3, 4}, {}, {}}},
      {"Squeeze", {{2, 1, 4}, {I({1})}, {}}},
      {"Unsqueeze", {{2, 4}, {I({0, -1})}, {}}},
      {"Identity", {{5}, {}, {}}},
      {"Dropout", {{5}, {}, {}}},
      {"Transpose", {{2, 3, 4}, {}, {{"perm", V{2, 0, 1}}}}},
      {"Resize", {{1, 2, 3, 4}, {{}, F({4}, {1, 1, 2, 1.5f})}, {{"mode", std::string("nearest")}}}},
      {"Split", {{2, 7}, {}, {{"axis", int64_t{1}}}, 2}},
      {"Slice", {{4, 6}, {I({1, 5}), I({3, -100}), I({0, 1}), I({1, -2})}, {}}},
      {"Gather", {{4, 6}, {I({3, -4, 1})}, {}}},
      {"GatherND", {{4, 6}, {Tensor::From<int64_t>({2, 2}, {3, -1, 0, 2})}, {}}},
      {"Expand", {{4, 1}, {I({2, 4, 3})}, {}}},
      {"Tile", {{2, 3}, {I({2, 2})}, {}}},
      {"DepthToSpace", {{1, 8, 2, 3}, {}, {{"blocksize", int64_t{2}}}}},
      {"SpaceToDepth", {{1, 2, 4, 6}, {}, {{"blocksize", int64_t{2}}}}},
      {"ReduceMax", {{3, 5}, {I({1})}, {}}},
      {"ReduceMin", {{3, 5}, {I({0})}, {}}},
  };
  const Tensor scale = F({}, {0.013f}), zero = Codes<int8_t>({}, {0});
  for (const std::string& name : ir::OpNames()) {
    if (!ir::FindOp(name)->quant.commutes) continue;
    ASSERT_EQ(cases.count(name), 1u) << name << " says it commutes: add a case";
    const Case& c = cases.at(name);
    const Node node = MakeNode(name, c.attrs, c.outputs);
    const Tensor x = RandomF32(c.shape, 17, -2, 2);
    Tensors floats = {x}, codes = {RunOne("QuantizeLinear", {x, scale, zero})};
    floats.insert(floats.end(), c.rest.begin(), c.rest.end());
    codes.insert(codes.end(), c.rest.begin(), c.rest.end());
    const Tensors after = RunNode(node, floats), before = RunNode(node, codes);
    for (size_t i = 0; i < c.outputs; ++i)
      EXPECT_EQ(RunOne("QuantizeLinear", {after[i], scale, zero}), before[i]) << name;
  }
}

}  // namespace
}  // namespace octet::ops
