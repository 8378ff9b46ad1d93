#include "task/classification/train_options.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"
#include "task/classification/setup.h"
#include "zoo/zoo.h"

namespace octet::task::classification {
namespace {

train::OptimizerOptions OptimizerFromSpec(const spec::Spec& spec) {
  train::OptimizerOptions o;
  o.optimizer = spec.GetString("train.optim_config.optimizer");
  o.momentum = spec.GetFloat("train.optim_config.momentum");
  o.nesterov = spec.GetBool("train.optim_config.nesterov");
  o.decay = spec.GetFloat("train.optim_config.decay");
  o.beta_1 = spec.GetFloat("train.optim_config.beta_1");
  o.beta_2 = spec.GetFloat("train.optim_config.beta_2");
  o.rho = spec.GetFloat("train.optim_config.rho");
  o.epsilon = spec.GetFloat("train.optim_config.epsilon");
  o.regularizer = spec.GetString("train.reg_config.type");
  o.scope = spec.GetStrings("train.reg_config.scope");
  o.weight_decay = spec.GetFloat("train.reg_config.weight_decay");
  return o;
}

train::ScheduleOptions ScheduleFromSpec(const spec::Spec& spec) {
  train::ScheduleOptions o;
  o.scheduler = spec.GetString("train.lr_config.scheduler");
  o.learning_rate = spec.GetFloat("train.lr_config.learning_rate");
  o.soft_start = spec.GetFloat("train.lr_config.soft_start");
  o.min_lr_ratio = spec.GetFloat("train.lr_config.min_lr_ratio");
  o.annealing_points = spec.GetFloats("train.lr_config.annealing_points");
  o.annealing_divider = spec.GetFloat("train.lr_config.annealing_divider");
  o.gamma = spec.GetFloat("train.lr_config.gamma");
  o.step_size = spec.GetFloat("train.lr_config.step_size");
  return o;
}

}  // namespace

data::LoaderOptions TrainLoaderOptions(const spec::Spec& spec, int64_t images) {
  data::LoaderOptions o;
  o.batch_size = static_cast<int>(spec.GetInt("train.batch_size_per_gpu"));
  o.training = true;
  o.drop_last = images >= o.batch_size;  // a last batch of one image would upset batch statistics
  o.workers = DataWorkers(spec, "train.n_workers");
  o.seed = static_cast<uint64_t>(spec.GetInt("train.random_seed"));
  o.mixup_alpha = spec.GetFloat("dataset.augmentation.mixup_alpha");
  return o;
}

train::TrainerOptions TrainerOptionsFromSpec(const spec::Spec& spec, const data::DataLoader& loader, bool qat) {
  train::TrainerOptions o = CommonTrainerOptions(spec, qat);
  o.optimizer = OptimizerFromSpec(spec);
  o.schedule = ScheduleFromSpec(spec);
  o.steps_per_epoch = loader.batches_per_epoch();
  o.images_per_epoch = std::min(o.steps_per_epoch * spec.GetInt("train.batch_size_per_gpu"), loader.images().size());
  return o;
}

void ApplyBnConfig(const spec::Spec& spec, ir::Graph& graph) {
  for (const char* name : {"momentum", "epsilon"}) {
    const std::string key = std::string("train.bn_config.") + name;
    if (!spec.IsSet(key)) continue;
    for (const ir::NodeId id : graph.Order()) {
      if (graph.node(id).op != "BatchNormalization") continue;
      graph.mutable_node(id).attrs[name] = static_cast<float>(spec.GetFloat(key));
    }
  }
}

void FreezeLayers(const spec::Spec& spec, train::GraphModule& module) {
  if (spec.GetBool("model.freeze_bn")) {
    module.FreezeBatchNorm(true);
    for (const train::Parameter& p : module.parameters()) {
      if (p.scope == "bn") module.SetTrainable(p.name, false);
    }
  }
  const std::vector<int64_t> blocks = spec.GetInts("model.freeze_blocks");
  if (blocks.empty()) return;
  const std::string backbone = spec.GetString("model.backbone");
  int64_t frozen = 0;
  std::set<int64_t> known;
  for (const train::Parameter& p : module.parameters()) {
    const int64_t block = zoo::BlockOfLayer(backbone, p.layer);
    if (block >= 0) known.insert(block);
    if (std::find(blocks.begin(), blocks.end(), block) == blocks.end()) continue;
    module.SetTrainable(p.name, false);
    ++frozen;
  }
  for (const int64_t block : blocks) {
    OCTET_REQUIRE(known.count(block) != 0, "model.freeze_blocks ({}): {} is no block of {}; {}",
                  spec.Where("model.freeze_blocks"), block, backbone,
                  known.empty() ? "octet knows no blocks of this network: leave the key out"
                                : fmt::format("its blocks are {} to {}", *known.begin(), *known.rbegin()));
  }
  LogInfo("freeze_blocks: {} tensors are not trained", frozen);
}

}  // namespace octet::task::classification
