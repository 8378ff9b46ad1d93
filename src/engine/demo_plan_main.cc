// octet_demo_plan FILE: writes a small plan with random weights, for the tests of the C library and its package.
#include <cstdio>

#include "engine/plan.h"
#include "engine/random_lowered.h"

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: octet_demo_plan FILE\n"), 1;
  octet::engine::LoweredGraphMaker maker(5);
  octet::ir::Graph& graph = maker.graph();
  const octet::ir::ValueId x = graph.AddInput("input_1", {octet::DType::kF32, {octet::ir::kDynamic, 3, 32, 32}});
  const octet::ir::ValueId conv =
      maker.QConv("conv", maker.Quantize(x), 0.02f, 3, 10, 3, 2, 1, 1, 0.02f, octet::ir::kNoValue, 0, false);
  const octet::ir::ValueId pool = maker.Value("QGlobalAveragePool", "pool", {conv}, {{"x_scale", 0.02f}});
  const octet::ir::ValueId flat = maker.Value("Flatten", "flat", {pool}, {});
  graph.MarkOutput(maker.Value("Softmax", "predictions", {flat}, {{"axis", int64_t{1}}}));
  octet::engine::WritePlan(argv[1], {graph, {{"network", "demo"}}});
  return 0;
}
