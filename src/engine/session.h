// A network at one batch size: where each value lives, and the steps of one Run.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/layout.h"
#include "engine/network.h"
#include "engine/team.h"

namespace octet::engine {

// Where a value lives. s8 values are codes (u8 NHWC with a border, see kernels.h); all others are dense row-major.
struct Place {
  std::string name;
  ir::TensorType type;  // concrete
  Nchw nchw;
  bool codes = false;
  bool channels_last = false;                        // f32 in memory as N,H,W,C
  int64_t top = 0, bottom = 0, left = 0, right = 0;  // border of codes
  int64_t bytes = 0;
  Codes view;                  // codes: address of (0, 0, 0, 0)
  std::byte* dense = nullptr;  // others; a graph input points to the caller's memory during a Run
};

// One node. `run(part, parts)` computes a share of its outputs; `parallel` false: call it once with (0, 1).
struct Step {
  ir::NodeId node = ir::kNoNode;
  bool parallel = true;
  bool fallback = false;  // runs the operator's reference kernel, and allocates
  double macs = 0;
  std::function<void(int part, int parts)> run;
};

class Session {
 public:
  // `graph` is the network's with options.batch. `host`, if any, never runs at the same time: its memory serves both
  // where it is large enough.
  Session(std::shared_ptr<const Network> network, ir::Graph graph, const ContextOptions& options,
          std::shared_ptr<Team> team, const Session* host = nullptr);

  // One pointer for each input and output of the graph.
  void Run(const std::vector<const float*>& inputs, const std::vector<float*>& outputs);
  Tensor Intermediate(const std::string& name) const;
  std::vector<std::string> intermediate_names() const;
  std::vector<StepTime> Profile(const std::vector<const float*>& inputs);  // a Run that leaves no outputs
  std::vector<std::string> fallback_nodes() const;

  // ---- for the binders
  const Network& network() const { return *network_; }
  const ir::Graph& graph() const { return graph_; }
  Place& place(ir::ValueId id);  // throws for an absent value or a constant
  const Place& place(ir::ValueId id) const { return const_cast<Session*>(this)->place(id); }
  Tensor ReadTensor(ir::ValueId id) const;                 // a copy, s8 in NCHW order; a constant as it is
  void WriteTensor(ir::ValueId id, const Tensor& tensor);  // the type must fit
  bool is_view(ir::NodeId id) const { return views_.nodes.count(id) != 0; }

  const ContextOptions& options() const { return options_; }
  int64_t arena_bytes() const { return arena_bytes_; }  // 0 with a host's memory

 private:
  void PlaceValues();
  void AllocateArena(const Session* host);
  void FindDirectOutputs();
  void SetInputs(const std::vector<const float*>& inputs);
  void SetOutputs(const std::vector<float*>& outputs);
  void Walk(int member);

  std::shared_ptr<const Network> network_;
  ContextOptions options_;
  ir::Graph graph_;  // with the context's batch
  std::unordered_map<ir::ValueId, Place> places_;
  std::vector<ir::ValueId> computed_;  // in order
  Views views_;
  // An output that convolutions may write into the caller's memory: it and its views. Empty: it is copied.
  struct DirectOutput {
    std::vector<std::pair<Place*, int64_t>> places;  // offset in bytes
    std::byte* own = nullptr;
    bool given = false;  // in this Run
  };
  std::vector<DirectOutput> direct_;
  std::vector<Step> steps_;
  std::shared_ptr<std::byte[]> arena_;
  int64_t arena_bytes_ = 0;
  std::shared_ptr<Team> team_;
  std::function<void(int)> walk_;
  std::vector<double>* step_ms_ = nullptr;  // during Profile
};

}  // namespace octet::engine
