// octet's INT8 engine: runs a lowered graph (passes/lower_for_engine) with exact integer arithmetic, code for code what
// docs/numerics.md says, on one thread or several, with the same result.
//
//   Engine engine = Engine::Load("resnet18.plan");
//   std::unique_ptr<Context> context = engine.NewContext({1, 2});   // batch 1, two threads
//   context->Run({image}, {probabilities});                          // no allocation from here on
//
// An Engine is immutable; contexts of one Engine may run at the same time in different threads. A Context is for one
// thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace octet::engine {

struct Network;       // engine/network.h
class SlicedSession;  // engine/sliced_session.h

struct TensorInfo {
  std::string name;
  Shape shape;  // kDynamic where the batch is chosen by the context
};

struct ContextOptions {
  int64_t batch = 1;
  int threads = 1;
  bool keep_intermediates = false;  // gives every value its own memory, for Context::Intermediate
  // The most images that go through the network together. A larger batch goes in slices of about equal size, which
  // keeps activations in the cache and gives the same bits; where images may depend on each other (or with
  // keep_intermediates) it goes in one piece. 0: chosen from the size of the activations.
  int64_t slice = 0;
};

struct StepTime {
  std::string node;
  std::string op;
  double ms = 0;          // of all slices
  double macs = 0;        // multiply-accumulates of a convolution, else 0
  bool fallback = false;  // the operator's reference kernel: right, slow, allocates
};

class Context {
 public:
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  int64_t batch() const;
  int64_t slice() const;  // the most images that go through the network together; batch() when all do
  // Shapes with the context's batch.
  const std::vector<TensorInfo>& inputs() const;
  const std::vector<TensorInfo>& outputs() const;

  // One pointer for each input and output, in the order of inputs() and outputs(); f32, dense, NCHW.
  void Run(const std::vector<const float*>& inputs, const std::vector<float*>& outputs);
  // The same with tensors: checks names and shapes; throws a user Error.
  std::vector<Tensor> Run(const std::map<std::string, Tensor>& inputs);

  // After a Run with keep_intermediates: the value as s8 codes (logical NCHW) or f32. Throws a user Error for a name
  // that the graph does not compute.
  Tensor Intermediate(const std::string& name) const;
  std::vector<std::string> intermediate_names() const;  // in the order of computation

  // Runs once more on the inputs of the last Run, which must still be in their place, and times each step.
  std::vector<StepTime> Profile();
  int64_t arena_bytes() const;
  std::vector<std::string> fallback_nodes() const;  // that run by their operator's reference kernel

 private:
  friend class Engine;
  explicit Context(std::unique_ptr<SlicedSession> session);
  std::unique_ptr<SlicedSession> session_;
};

class Engine {
 public:
  // Throws a user Error for a file that is not a whole plan, or a graph with a node that the engine cannot run.
  static Engine Load(const std::string& plan_path);
  // `isa`: "" picks the fastest (or what OCTET_ENGINE_ISA says); else reference, portable, avx512_vnni.
  static Engine FromGraph(const ir::Graph& lowered, const std::map<std::string, std::string>& info = {},
                          const std::string& isa = "");

  const std::vector<TensorInfo>& inputs() const;
  const std::vector<TensorInfo>& outputs() const;
  const std::map<std::string, std::string>& info() const;  // what the plan's writer left
  const ir::Graph& graph() const;
  std::string isa() const;          // "avx512_vnni"
  std::string description() const;  // one line: the path in use, steps, convolutions, fallbacks

  // Throws a user Error for a batch that the graph's input sizes do not allow.
  std::unique_ptr<Context> NewContext(const ContextOptions& options = {}) const;

 private:
  explicit Engine(std::shared_ptr<const Network> network);
  std::shared_ptr<const Network> network_;
};

}  // namespace octet::engine
