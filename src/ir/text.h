// The one text form of a graph: golden tests, `octet inspect`, and the head of a .octet file. Parse(Print(g)) == g.
//
//   graph "resnet18" {
//     meta "recipe" = "fused"
//     input %input_1: f32[N,3,224,224]
//     const %conv1.weight: f32[64,3,7,7] = blob
//     const %scale: f32[] = [0.05]
//     %y: f32[N,64,112,112] = Conv(%input_1, %conv1.weight) {pads=[3,3,3,3], strides=[2,2]} "conv1"
//     output %y
//   }
//
// A constant of more than 8 elements prints as `blob`; its data comes from the map given to Parse. An absent input is
// `_`. Names outside [A-Za-z0-9_./-] are quoted: %"a b".
#pragma once

#include <map>
#include <string>

#include "ir/graph.h"

namespace octet::ir {

std::string Print(const Graph& graph);

// `blobs`: the constants printed as `blob`, by value name. Without an entry such a constant becomes zeros of its type
// when `zero_blobs` is set; otherwise it is an error. Throws a user Error with the line number. `source` names the
// text.
Graph Parse(const std::string& text, const std::map<std::string, Tensor>& blobs = {}, bool zero_blobs = false,
            const std::string& source = "graph text");

std::string PrintAttr(const Attr& attr);

}  // namespace octet::ir
