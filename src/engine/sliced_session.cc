#include "engine/sliced_session.h"

#include <algorithm>

#include "base/error.h"
#include "engine/slices.h"

namespace octet::engine {
namespace {

// Elements of one image times `image`; a value without a batch is never sliced, and `image` is then 0.
int64_t Offset(const TensorInfo& info, int64_t image) {
  return image == 0 ? 0 : NumElements(info.shape) / info.shape[0] * image;
}

}  // namespace

SlicedSession::SlicedSession(std::shared_ptr<const Network> network, ContextOptions options) : batch_(options.batch) {
  options.threads = std::max(1, options.threads);
  ir::Graph whole = WithBatch(network->graph, batch_);
  for (const ir::ValueId id : whole.inputs()) inputs_.push_back({whole.value(id).name, whole.value(id).type.shape});
  for (const ir::ValueId id : whole.outputs()) outputs_.push_back({whole.value(id).name, whole.value(id).type.shape});
  last_inputs_.reserve(inputs_.size());
  slice_inputs_.resize(inputs_.size());
  slice_outputs_.resize(outputs_.size());
  slices_ = SliceBatch(network->graph, whole, options);
  const auto team = std::make_shared<Team>(options.threads);
  options.batch = slices_[0];
  sessions_.push_back(std::make_unique<Session>(
      network, slices_.size() == 1 ? std::move(whole) : WithBatch(network->graph, options.batch), options, team));
  if (slices_.back() == slices_[0]) return;
  options.batch = slices_.back();
  sessions_.push_back(
      std::make_unique<Session>(network, WithBatch(network->graph, options.batch), options, team, sessions_[0].get()));
}

void SlicedSession::PointAt(int64_t image) {
  for (size_t i = 0; i < inputs_.size(); ++i) slice_inputs_[i] = last_inputs_[i] + Offset(inputs_[i], image);
}

void SlicedSession::Run(const std::vector<const float*>& inputs, const std::vector<float*>& outputs) {
  OCTET_CHECK(inputs.size() == inputs_.size() && outputs.size() == outputs_.size(),
              "Run with {} inputs and {} outputs; the network has {} and {}", inputs.size(), outputs.size(),
              inputs_.size(), outputs_.size());
  last_inputs_ = inputs;
  int64_t image = 0;
  for (const int64_t images : slices_) {
    PointAt(image);
    for (size_t i = 0; i < outputs.size(); ++i) slice_outputs_[i] = outputs[i] + Offset(outputs_[i], image);
    SessionFor(images).Run(slice_inputs_, slice_outputs_);
    image += images;
  }
}

std::vector<Tensor> SlicedSession::Run(const std::map<std::string, Tensor>& inputs) {
  std::vector<const float*> in;
  for (const TensorInfo& info : inputs_) {
    const auto it = inputs.find(info.name);
    OCTET_REQUIRE(it != inputs.end(), "engine: input '{}' was not given", info.name);
    OCTET_REQUIRE(it->second.dtype() == DType::kF32 && it->second.shape() == info.shape,
                  "engine: input '{}' must be f32{}, it is {}{}", info.name, ToString(info.shape),
                  NameOf(it->second.dtype()), ToString(it->second.shape()));
    in.push_back(it->second.data<float>());
  }
  std::vector<Tensor> results;
  std::vector<float*> out;
  for (const TensorInfo& info : outputs_) results.emplace_back(DType::kF32, info.shape);
  for (Tensor& t : results) out.push_back(t.mutable_data<float>());
  Run(in, out);
  return results;
}

std::vector<StepTime> SlicedSession::Profile() {
  OCTET_CHECK(!last_inputs_.empty(), "Profile comes after a Run");
  std::vector<StepTime> sum;
  int64_t image = 0;
  for (const int64_t images : slices_) {
    PointAt(image);
    const std::vector<StepTime> times = SessionFor(images).Profile(slice_inputs_);
    if (sum.empty()) {
      sum = times;
    } else {
      for (size_t i = 0; i < times.size(); ++i) {
        sum[i].ms += times[i].ms;
        sum[i].macs += times[i].macs;
      }
    }
    image += images;
  }
  return sum;
}

int64_t SlicedSession::arena_bytes() const {
  int64_t bytes = 0;
  for (const auto& session : sessions_) bytes += session->arena_bytes();
  return bytes;
}

}  // namespace octet::engine
