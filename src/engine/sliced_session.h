// A Context's inside: the slices of one Run (engine/slices.h), on one Session or on two where sizes differ.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/session.h"

namespace octet::engine {

class SlicedSession {
 public:
  SlicedSession(std::shared_ptr<const Network> network, ContextOptions options);

  void Run(const std::vector<const float*>& inputs, const std::vector<float*>& outputs);
  std::vector<Tensor> Run(const std::map<std::string, Tensor>& inputs);
  Tensor Intermediate(const std::string& name) const { return sessions_[0]->Intermediate(name); }
  std::vector<std::string> intermediate_names() const { return sessions_[0]->intermediate_names(); }
  std::vector<StepTime> Profile();
  std::vector<std::string> fallback_nodes() const { return sessions_[0]->fallback_nodes(); }

  int64_t batch() const { return batch_; }
  int64_t slice() const { return slices_[0]; }
  const std::vector<TensorInfo>& inputs() const { return inputs_; }
  const std::vector<TensorInfo>& outputs() const { return outputs_; }
  int64_t arena_bytes() const;

 private:
  Session& SessionFor(int64_t images) { return *sessions_[images == slices_[0] ? 0 : 1]; }
  void PointAt(int64_t image);  // slice_inputs_

  int64_t batch_;
  std::vector<int64_t> slices_;                     // images of each
  std::vector<std::unique_ptr<Session>> sessions_;  // for slices_[0], and for the smaller slices if there are any
  std::vector<TensorInfo> inputs_;
  std::vector<TensorInfo> outputs_;
  std::vector<const float*> last_inputs_;
  // One slice's share of the caller's memory; kept, so that a Run allocates nothing.
  std::vector<const float*> slice_inputs_;
  std::vector<float*> slice_outputs_;
};

}  // namespace octet::engine
