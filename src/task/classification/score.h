// Accuracy of a classifier over a data set, and what goes with it.
#pragma once

#include <cstdint>
#include <vector>

#include "data/data_loader.h"
#include "task/predictor.h"

namespace octet::task::classification {

struct Score {
  int64_t images = 0;
  double top1 = 0;  // fractions of all images
  double topk = 0;
  int64_t k = 1;
  double loss = 0;                              // mean -log p(label)
  std::vector<std::vector<int64_t>> confusion;  // [true][predicted]
  double predict_seconds = 0;                   // inside the network, all images
};

struct ClassMetrics {
  double precision = 0, recall = 0, f1 = 0;
  int64_t images = 0;
};
std::vector<ClassMetrics> PerClass(const Score& score);
ClassMetrics Mean(const std::vector<ClassMetrics>& classes);  // over classes, each counting the same; sum of images

// f32 [N,classes] of images f32 [N,C,H,W]: the network's first output, a softmax of it where the network has none
// itself (a plan of somebody else's network). Throws a user Error for an output of another shape.
Tensor ClassProbabilities(Predictor& predictor, const Tensor& images);

// Every image counts, the last partial batch too.
Score Evaluate(Predictor& predictor, data::DataLoader& loader, int64_t classes, int64_t k, bool show_progress);

}  // namespace octet::task::classification
