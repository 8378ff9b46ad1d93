// A small quantized network, batches for it and trainer options: what tests of the training loop share.
#pragma once

#include <string>

#include "train/test_graphs.h"
#include "train/trainer.h"

namespace octet::train {

// A small quantized network with batch norm and dropout: everything that has state.
inline constexpr char kNetwork[] = R"(graph "g" {
  input %x: f32[8,3,8,8]
  const %x.scale: f32[] = [0.01]
  const %x.zero_point: s8[] = [0]
  const %c.weight: f32[6,3,3,3] = blob
  const %c.weight.scale: f32[6] = [1,1,1,1,1,1]
  const %c.weight.zero_point: s8[6] = [0,0,0,0,0,0]
  const %bn.scale: f32[6] = [1,1,1,1,1,1]
  const %bn.bias: f32[6] = [0,0,0,0,0,0]
  const %bn.mean: f32[6] = [0,0,0,0,0,0]
  const %bn.var: f32[6] = [1,1,1,1,1,1]
  const %lo: f32[] = [0]
  const %hi: f32[] = [6]
  const %r.scale: f32[] = [0.01]
  const %ratio: f32[] = [0.2]
  const %f.weight: f32[3,6] = blob
  const %f.bias: f32[3] = [0,0,0]
  %x.q: s8[8,3,8,8] = QuantizeLinear(%x, %x.scale, %x.zero_point) {observer="moving_average"} "xq"
  %x.dq: f32[8,3,8,8] = DequantizeLinear(%x.q, %x.scale, %x.zero_point) "xdq"
  %c.weight.q: s8[6,3,3,3] = QuantizeLinear(%c.weight, %c.weight.scale, %c.weight.zero_point) {axis=0, observer="max_abs"} "wq"
  %c.weight.dq: f32[6,3,3,3] = DequantizeLinear(%c.weight.q, %c.weight.scale, %c.weight.zero_point) {axis=0} "wdq"
  %c: f32[8,6,8,8] = Conv(%x.dq, %c.weight.dq) {pads=[1,1,1,1]} "c"
  %bn: f32[8,6,8,8] = BatchNormalization(%c, %bn.scale, %bn.bias, %bn.mean, %bn.var) "bn"
  %r: f32[8,6,8,8] = Clip(%bn, %lo, %hi) "r"
  %r.q: s8[8,6,8,8] = QuantizeLinear(%r, %r.scale, %x.zero_point) {observer="moving_average"} "rq"
  %r.dq: f32[8,6,8,8] = DequantizeLinear(%r.q, %r.scale, %x.zero_point) "rdq"
  %p: f32[8,6,1,1] = GlobalAveragePool(%r.dq) "p"
  %l: f32[8,6] = Flatten(%p) "l"
  %d: f32[8,6] = Dropout(%l, %ratio) "d"
  %logits: f32[8,3] = Gemm(%d, %f.weight, %f.bias) {transB=1} "f"
  output %logits
})";

// Three classes: which channel is brightest.
inline Batch MakeBatch(uint64_t seed) {
  Batch batch;
  Tensor x = RandomTensor({8, 3, 8, 8}, seed);
  Tensor label(DType::kS64, {8});
  for (int64_t n = 0; n < 8; ++n) {
    const int64_t k = static_cast<int64_t>((seed * 7 + static_cast<uint64_t>(n) * 5) % 3);
    label.mutable_data<int64_t>()[n] = k;
    for (int i = 0; i < 64; ++i) x.mutable_data<float>()[(n * 3 + k) * 64 + i] += 0.5f;
  }
  batch.inputs = {x};
  batch.targets = {label};
  batch.size = 8;
  return batch;
}

inline BatchSource EpochOf(int64_t epoch, int steps) {
  return [epoch, steps, at = 0](Batch& batch) mutable {
    if (at == steps) return false;
    batch = MakeBatch(static_cast<uint64_t>(epoch * 1000 + at++));
    return true;
  };
}

inline TrainerOptions SmallOptions(const std::string& optimizer) {
  TrainerOptions o;
  o.optimizer.optimizer = optimizer;
  o.optimizer.weight_decay = 1e-4;
  o.schedule.learning_rate = optimizer == "sgd" ? 0.1 : 0.01;
  o.epochs = 4;
  o.steps_per_epoch = 10;
  o.threads = optimizer == "sgd" ? 2 : 1;
  return o;
}

}  // namespace octet::train
