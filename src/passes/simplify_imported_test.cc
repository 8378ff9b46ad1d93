#include "passes/simplify_imported.h"

#include <gtest/gtest.h>

#include "ir/op_def.h"
#include "ir/text.h"
#include "ops/install.h"

namespace octet::passes {
namespace {

// A layer without weights in front of a constant: the search for biases read an input that is not there (ConvNeXt's
// Transpose -> Add).
TEST(SimplifyImported, OnlyLayersWithWeightsGetABias) {
  ops::InstallOps();
  ir::Graph g = ir::Parse(R"(graph "net" {
  input %x: f32[N,4,4,3]
  const %w: f32[3,3,1,1] = blob
  const %a: f32[3,1,1] = [1.0,2.0,3.0]
  const %b: f32[3,1,1] = [4.0,5.0,6.0]
  %t: f32[N,3,4,4] = Transpose(%x) {perm=[0,3,1,2]} "t"
  %moved: f32[N,3,4,4] = Add(%t, %a) "moved"
  %c: f32[N,3,4,4] = Conv(%moved, %w) {kernel_shape=[1,1]} "c"
  %y: f32[N,3,4,4] = Add(%c, %b) "y"
  output %y
}
)",
                          {}, /*zero_blobs=*/true, "net.txt");
  ir::Verify(g);
  g = SimplifyImported(std::move(g));
  ir::Verify(g);
  EXPECT_EQ(g.producer(g.Find("moved"))->op, "Add");
  const ir::Node* conv = g.producer(g.outputs()[0]);
  ASSERT_EQ(conv->op, "Conv");
  EXPECT_EQ(g.value(conv->input(2)).constant.ToVector<float>(), (std::vector<float>{4, 5, 6}));
}

}  // namespace
}  // namespace octet::passes
