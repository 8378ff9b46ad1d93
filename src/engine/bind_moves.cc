// Steps of operators that move elements, whatever their values: Slice, Gather, Transpose, Reshape, Tile, ... The
// reference kernel, run once on the elements' numbers, says where each element of the output comes from.
#include <algorithm>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "engine/bind.h"
#include "ir/op_def.h"

namespace octet::engine {
namespace {

using ir::kNoValue;
using ir::Node;
using ir::ValueId;

constexpr int64_t kMostElements = int64_t{1} << 28;

// For every output: the numbers of its elements in input 0. Empty: an input is not constant, or a size is not sane.
std::vector<Tensor> Sources(const Session& session, const Node& node) {
  const ir::Graph& graph = session.graph();
  const Shape& shape = session.place(node.input(0)).type.shape;
  if (NumElements(shape) > kMostElements) return {};
  Tensor numbers(DType::kS32, shape);
  std::iota(numbers.mutable_data<int32_t>(), numbers.mutable_data<int32_t>() + numbers.size(), 0);
  std::vector<Tensor> inputs = {numbers};
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    const ValueId id = node.inputs[i];
    if (id != kNoValue && !graph.value(id).is_constant()) return {};
    inputs.push_back(id == kNoValue ? Tensor() : graph.value(id).constant);
  }
  for (const ValueId id : node.outputs) {
    if (id != kNoValue && NumElements(graph.value(id).type.shape) > kMostElements) return {};
  }
  return ir::GetOp(node).reference(node, inputs);
}

using Run = std::function<void(int part, int parts)>;

// Floats: runs of neighbours where there are such, else one by one.
Run MoveFloats(const Place& x, const Place& y, const Tensor& sources) {
  struct Piece {
    int32_t to, from, count;
  };
  std::vector<Piece> pieces;
  const int32_t* s = sources.data<int32_t>();
  const auto total = static_cast<int32_t>(sources.size());
  for (int32_t i = 0; i < total; ++i) {
    if (i > 0 && s[i] == s[i - 1] + 1) {
      ++pieces.back().count;
    } else {
      pieces.push_back({i, s[i], 1});
    }
  }
  const auto f32 = [](const Place& p) { return reinterpret_cast<float*>(p.dense); };
  if (pieces.size() * 4 > static_cast<size_t>(total)) {
    return [=, &x, &y](int part, int parts) {
      const Range range = Share(total, part, parts);
      const int32_t* from = sources.data<int32_t>();
      for (int64_t i = range.begin; i < range.end; ++i) f32(y)[i] = f32(x)[from[i]];
    };
  }
  return [=, &x, &y](int part, int parts) {
    const Range range = Share(static_cast<int64_t>(pieces.size()), part, parts);
    for (int64_t i = range.begin; i < range.end; ++i) {
      const Piece& p = pieces[static_cast<size_t>(i)];
      std::copy_n(f32(x) + p.from, p.count, f32(y) + p.to);
    }
  };
}

// Whole pixels keep their place: the channels taken from each. Empty: not so.
std::vector<int32_t> PickedChannels(const Nchw& x, const Nchw& y, const int32_t* sources) {
  if (x.n != y.n || x.h != y.h || x.w != y.w) return {};
  const int64_t plane = x.h * x.w;
  std::vector<int32_t> map;
  for (int64_t c = 0; c < y.c && plane > 0; ++c) map.push_back(static_cast<int32_t>(sources[c * plane] / plane));
  for (int64_t n = 0; n < x.n; ++n) {
    for (int64_t c = 0; c < y.c; ++c) {
      const int64_t from = (n * x.c + map[static_cast<size_t>(c)]) * plane;
      for (int64_t i = 0; i < plane; ++i) {
        if (*sources++ != from + i) return {};
      }
    }
  }
  return map;
}

// Codes: channels of each pixel, or bytes one by one. Nothing where images mix.
Run MoveCodes(const Session& session, const Place& x, const Place& y, const Tensor& sources) {
  const Nchw &in = x.nchw, &out = y.nchw;
  const int32_t* s = sources.data<int32_t>();
  const std::vector<int32_t> map = PickedChannels(in, out, s);
  if (!map.empty()) {
    auto packed = std::make_shared<const ChannelPick>(PackPick(map));
    PickArgs a;
    a.batch = out.n;
    a.h = out.h;
    a.w = out.w;
    a.packed = packed.get();
    a.in = x.view;
    a.out = y.view;
    return [a, packed, &y, run = session.network().kernels->pick](int part, int parts) {
      if (part == 0) Fill(y);
      run(a, part, parts);
    };
  }
  const int64_t from = in.c * in.h * in.w, to = out.c * out.h * out.w;  // elements of an image
  if (in.n != out.n || x.view.image > std::numeric_limits<int32_t>::max()) return {};
  std::vector<int32_t> offsets(static_cast<size_t>(to));  // in the order of y's bytes
  for (int64_t n = 0; n < out.n; ++n) {
    for (int64_t i = 0; i < to; ++i) {
      const int64_t k = s[n * to + i] - n * from, c = k / (in.h * in.w), h = k / in.w % in.h;
      if (k < 0 || k >= from) return {};
      const int64_t at = (i % out.w + i / out.w % out.h * out.w) * out.c + i / (out.h * out.w);
      const auto offset = static_cast<int32_t>(h * x.view.row + k % in.w * x.view.pixel + c);
      if (n > 0 && offsets[static_cast<size_t>(at)] != offset) return {};
      offsets[static_cast<size_t>(at)] = offset;
    }
  }
  return [offsets = std::move(offsets), &x, &y](int part, int parts) {
    if (part == 0) Fill(y);
    const Nchw& size = y.nchw;
    // An image of one pixel is split along its channels, any other along its rows.
    const bool rows = size.h * size.w > 1;
    const Range r = Share(rows ? size.h : size.c, part, parts);
    const Range channels = rows ? Range{0, size.c} : r;
    for (int64_t n = 0; n < size.n; ++n) {
      const uint8_t* image = x.view.at(n, 0, 0);
      for (int64_t h = rows ? r.begin : 0; h < (rows ? r.end : size.h); ++h) {
        for (int64_t w = 0; w < size.w; ++w) {
          const int32_t* offset = offsets.data() + (h * size.w + w) * size.c;
          uint8_t* pixel = y.view.at(n, h, w);
          for (int64_t c = channels.begin; c < channels.end; ++c) pixel[c] = image[offset[c]];
        }
      }
    }
  };
}

}  // namespace

bool BindMove(Session& session, ir::NodeId id, Step& step) {
  const Node& node = session.graph().node(id);
  if (!ir::GetOp(node).quant.moves || session.graph().value(node.input(0)).is_constant()) return false;
  const Place& x = session.place(node.input(0));
  if (!x.codes && x.type.dtype != DType::kF32) return false;
  const std::vector<Tensor> sources = Sources(session, node);
  if (sources.size() < node.outputs.size()) return false;
  std::vector<Run> runs;
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] == kNoValue) continue;
    const Place& y = session.place(node.outputs[i]);
    if (sources[i].size() == 0) return false;
    runs.push_back(x.codes ? MoveCodes(session, x, y, sources[i]) : MoveFloats(x, y, sources[i]));
    if (!runs.back()) return false;
  }
  step.run = [runs = std::move(runs)](int part, int parts) {
    for (const Run& run : runs) run(part, parts);
  };
  return true;
}

}  // namespace octet::engine
