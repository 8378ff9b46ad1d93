// Keys that all tasks have, in TAO's spelling and with its defaults: top level, W&B and ClearML, quant, gen_trt_engine.
#pragma once

#include <string>
#include <vector>

#include "spec/tables.h"

namespace octet::spec {

// A task's own keys with the common ones at the end of their sections, before results_dir; top-level keys come first.
std::vector<Key> WithCommonKeys(const std::vector<Key>& own, const std::string& task, const std::string& data_format);

std::vector<Alias> CommonAliases();

}  // namespace octet::spec
