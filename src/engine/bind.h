// Turns one node into one Step: arguments resolved to addresses, so that a Run only calls kernels.
#pragma once

#include "engine/session.h"

namespace octet::engine {

// The step of a node; places of its inputs and outputs have their final addresses. Operators without a kernel of
// their own get a step that runs their reference kernel.
Step BindNode(Session& session, ir::NodeId id);

// Border which the input of a QConv needs so that all its taps stay in memory; zeros for other nodes.
struct Border {
  int64_t top = 0, bottom = 0, left = 0, right = 0;
};
Border InputBorder(const ir::Graph& graph, const ir::Node& node);

// The codes that input `index` of a node names; throws a user Error when it is absent, constant or f32.
const Place& CodesInput(Session& session, const ir::Node& node, size_t index);
// Writes the border of codes; nothing for other values.
void Fill(const Place& place);

// Binders by family; false: not theirs.
bool BindQuantized(Session& session, ir::NodeId id, Step& step);
bool BindCopies(Session& session, ir::NodeId id, Step& step);  // Concat, Reshape, Resize, ... of codes
bool BindFloat(Session& session, ir::NodeId id, Step& step);
bool BindNorm(Session& session, ir::NodeId id, Step& step);  // layer norm and its pieces, FP32
// Slice, Gather, Transpose, ... of codes or floats: whatever only moves elements and no binder before knew better.
bool BindMove(Session& session, ir::NodeId id, Step& step);

}  // namespace octet::engine
