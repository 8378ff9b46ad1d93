// A detector learns one batch by heart: the loss goes to nearly nothing, and it then finds exactly these boxes. This
// exercises network, anchors, targets, losses, optimizer and post-processing together.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "boxes_data.h"
#include "data/coco.h"
#include "data/detection_loader.h"
#include "detection/anchors.h"
#include "detection/assign_targets.h"
#include "detection/coco_ap.h"
#include "detection/detections.h"
#include "ops/install.h"
#include "train/detection_loss.h"
#include "train/trainer.h"
#include "zoo/efficientdet.h"

namespace octet {
namespace {

TEST(SlowDetector, LearnsOneBatchByHeart) {
  ops::InstallOps();
  const std::string dir = testing::TempDir() + "octet_overfit_" + std::to_string(::getpid());
  BoxesDataOptions data_options;
  data_options.train = 4;
  data_options.val = 1;
  WriteBoxesData(dir, data_options);
  const auto set = std::make_shared<data::CocoSet>(data::ReadCoco(dir + "/train.json", dir + "/images"));
  std::filesystem::remove_all(dir + "/val.json");
  data::DetectionLoaderOptions loading;
  loading.width = loading.height = 128;
  loading.batch_size = 4;
  loading.show_progress = false;
  data::DetectionLoader loader(set, loading);
  loader.StartEpoch(0);
  data::DetectionBatch batch;
  ASSERT_TRUE(loader.Next(&batch));
  std::filesystem::remove_all(dir);

  detection::AnchorOptions anchor_options;
  anchor_options.height = anchor_options.width = 128;
  const Tensor anchors = detection::MakeAnchors(anchor_options);
  const detection::AnchorTargets targets = detection::AssignTargets(anchors, batch.boxes, batch.labels);
  ASSERT_GT(targets.positives, 4);

  zoo::EfficientDetOptions network;
  network.num_classes = 2;
  network.input_height = network.input_width = 128;
  network.bn_momentum = 0.8f;
  train::GraphModule module(zoo::BuildEfficientDet(network));
  train::TrainerOptions options;
  options.optimizer.optimizer = "adam";
  options.optimizer.regularizer = "None";
  options.optimizer.clip_norm = 10;
  options.schedule.scheduler = "warmup_cosine";
  options.schedule.learning_rate = 1e-2;
  options.schedule.warmup_steps = 5;
  options.schedule.warmup_init = 1e-4;
  options.epochs = 1;
  options.threads = 1;
  options.steps_per_epoch = 160;
  train::DetectionLossOptions loss;
  train::Trainer trainer(module, train::DetectionLoss(loss), options);
  double first = 0, last = 0;
  for (int64_t step = 0; step < options.steps_per_epoch; ++step) {
    last = trainer.Step({{batch.images}, {targets.classes, targets.codes}, 4}).loss / 4;
    if (step == 0) first = last;
    if (step % 20 == 0) {
      std::printf("step %3ld: loss %.4f\n", static_cast<long>(step), last);
      std::fflush(stdout);
    }
  }
  std::printf("loss %.4f -> %.5f\n", first, last);
  EXPECT_GT(first, 1.0);
  EXPECT_LT(last, 0.02);

  train::GraphModule trained(trainer.CurrentGraph());
  const std::vector<Tensor> raw = trained.Evaluate({{"input", batch.images}}, {"class_logits", "box_codes"});
  detection::PostProcessOptions post;
  post.score_threshold = 0.05f;
  const auto found =
      detection::PostProcess(raw[0], raw[1], anchors, 128, 128, batch.image_ids, batch.scales.ToVector<float>(), post);
  const detection::CocoMetrics metrics = detection::Evaluate(*set, found);
  std::printf("%zu boxes, AP %.4f, AP50 %.4f\n", found.size(), metrics.ap(), metrics.ap50());
  EXPECT_GT(metrics.ap(), 0.9);
  EXPECT_GT(metrics.ap50(), 0.999);
}

}  // namespace
}  // namespace octet
