#include "task/classification/score.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "base/error.h"
#include "base/progress.h"
#include "passes/classifier_head.h"

namespace octet::task::classification {

std::vector<ClassMetrics> PerClass(const Score& score) {
  const size_t n = score.confusion.size();
  std::vector<ClassMetrics> metrics(n);
  for (size_t c = 0; c < n; ++c) {
    int64_t truth = 0;
    int64_t predicted = 0;
    for (size_t i = 0; i < n; ++i) {
      truth += score.confusion[c][i];
      predicted += score.confusion[i][c];
    }
    const auto hits = static_cast<double>(score.confusion[c][c]);
    ClassMetrics& m = metrics[c];
    m.images = truth;
    m.precision = predicted > 0 ? hits / static_cast<double>(predicted) : 0;
    m.recall = truth > 0 ? hits / static_cast<double>(truth) : 0;
    m.f1 = m.precision + m.recall > 0 ? 2 * m.precision * m.recall / (m.precision + m.recall) : 0;
  }
  return metrics;
}

ClassMetrics Mean(const std::vector<ClassMetrics>& classes) {
  ClassMetrics mean;
  const auto n = static_cast<double>(std::max<size_t>(1, classes.size()));
  for (const ClassMetrics& m : classes) {
    mean.precision += m.precision / n;
    mean.recall += m.recall / n;
    mean.f1 += m.f1 / n;
    mean.images += m.images;
  }
  return mean;
}

Tensor ClassProbabilities(Predictor& predictor, const Tensor& images) {
  Tensor output = predictor.Predict(images);
  const int64_t n = images.dim(0), classes = output.size() / n;
  OCTET_REQUIRE(output.dtype() == DType::kF32 && output.rank() >= 2 && output.dim(0) == n && output.dim(1) == classes,
                "the network's output is {}; a classifier's is [{},classes]", ToString(output.shape()), n);
  if (passes::GivesProbabilities(predictor.graph())) return output.Reshaped({n, classes});
  Tensor result(DType::kF32, {n, classes});
  for (int64_t i = 0; i < n; ++i) {
    const float* score = output.data<float>() + i * classes;
    float* p = result.mutable_data<float>() + i * classes;
    const float top = *std::max_element(score, score + classes);
    double sum = 0;
    for (int64_t c = 0; c < classes; ++c) sum += p[c] = std::exp(score[c] - top);
    for (int64_t c = 0; c < classes; ++c) p[c] = static_cast<float>(p[c] / sum);
  }
  return result;
}

Score Evaluate(Predictor& predictor, data::DataLoader& loader, int64_t classes, int64_t k, bool show_progress) {
  Score score;
  score.k = std::min(k, classes);
  score.confusion.assign(static_cast<size_t>(classes), std::vector<int64_t>(static_cast<size_t>(classes), 0));
  std::unique_ptr<Progress> progress;
  if (show_progress) progress = std::make_unique<Progress>("evaluate", loader.images().size(), "images");
  loader.StartEpoch(0);
  data::Batch batch;
  double loss = 0;
  int64_t top1 = 0;
  int64_t topk = 0;
  while (loader.Next(&batch)) {
    const auto start = std::chrono::steady_clock::now();
    const Tensor output = ClassProbabilities(predictor, batch.images);
    score.predict_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    OCTET_REQUIRE(output.dim(1) == classes, "the network's output is {}, but the data set has {} classes",
                  ToString(output.shape()), classes);
    for (int64_t i = 0; i < output.dim(0); ++i) {
      const float* p = output.data<float>() + i * classes;
      const int64_t label = batch.labels[static_cast<size_t>(i)];
      const int64_t best = std::max_element(p, p + classes) - p;
      const auto better = std::count_if(p, p + classes, [&](float x) { return x > p[label]; });
      top1 += best == label ? 1 : 0;
      topk += better < score.k ? 1 : 0;
      loss -= std::log(std::max(p[label], 1e-12f));
      ++score.confusion[static_cast<size_t>(label)][static_cast<size_t>(best)];
      ++score.images;
    }
    if (progress) progress->Advance(output.dim(0));
  }
  OCTET_REQUIRE(score.images > 0, "there are no images to evaluate on");
  score.top1 = static_cast<double>(top1) / static_cast<double>(score.images);
  score.topk = static_cast<double>(topk) / static_cast<double>(score.images);
  score.loss = loss / static_cast<double>(score.images);
  if (progress) progress->Finish(fmt::format("top-1 {:.2f} %", 100 * score.top1));
  return score;
}

}  // namespace octet::task::classification
