// From a classification spec to the options of its training.
#pragma once

#include "data/data_loader.h"
#include "spec/spec.h"
#include "task/trainer_options.h"
#include "train/trainer.h"

namespace octet::task::classification {

// Batches of training images; a last batch that is not full is left out.
data::LoaderOptions TrainLoaderOptions(const spec::Spec& spec, int64_t images);

// Optimizer and schedule beside CommonTrainerOptions.
train::TrainerOptions TrainerOptionsFromSpec(const spec::Spec& spec, const data::DataLoader& loader, bool qat);

// The network of a checkpoint keeps its momentum and epsilon of batch normalization, unless the spec gives
// train.bn_config: then all of its layers get them, as in TAO.
void ApplyBnConfig(const spec::Spec& spec, ir::Graph& graph);

// model.freeze_bn and model.freeze_blocks. Throws a user Error that names a block which the backbone does not have.
void FreezeLayers(const spec::Spec& spec, train::GraphModule& module);

}  // namespace octet::task::classification
