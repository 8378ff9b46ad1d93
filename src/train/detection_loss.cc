#include "train/detection_loss.h"

#include <torch/torch.h>

#include "base/error.h"
#include "train/tensor_bridge.h"

namespace octet::train {
namespace {

constexpr double kTiny = 1e-7;
constexpr double kPi = 3.14159265358979323846;

at::Tensor FocalLoss(const at::Tensor& logits, const at::Tensor& classes, const DetectionLossOptions& o) {
  const at::Tensor y = at::zeros_like(logits).scatter_(2, classes.clamp_min(0).unsqueeze(2),
                                                       classes.ge(0).to(logits.scalar_type()).unsqueeze(2));
  const at::Tensor p = at::sigmoid(logits);
  const at::Tensor miss = p + y - 2 * y * p;  // 1 - p_t
  const at::Tensor alpha = y * (2 * o.alpha - 1) + (1 - o.alpha);
  const at::Tensor smooth = o.label_smoothing == 0 ? y : y * (1 - o.label_smoothing) + 0.5 * o.label_smoothing;
  const at::Tensor cross = at::softplus(logits) - logits * smooth;
  return (alpha * miss.pow(o.gamma) * cross).sum();
}

at::Tensor HuberLoss(const at::Tensor& codes, const at::Tensor& targets, double delta) {
  const at::Tensor mask = targets.ne(0);
  const at::Tensor e = (codes - targets).masked_select(mask).abs();
  return at::where(e <= delta, 0.5 * e * e, delta * e - 0.5 * delta * delta).sum();
}

struct Boxes {
  at::Tensor y, x, h, w;  // centre and size
};

Boxes Decode(const at::Tensor& codes, const at::Tensor& anchors) {
  const auto column = [](const at::Tensor& t, int64_t i) { return t.select(1, i); };
  return {column(codes, 0) * column(anchors, 2) + column(anchors, 0),
          column(codes, 1) * column(anchors, 3) + column(anchors, 1), column(codes, 2).exp() * column(anchors, 2),
          column(codes, 3).exp() * column(anchors, 3)};
}

at::Tensor IouLoss(const Boxes& a, const Boxes& b, const std::string& type) {
  const auto overlap = [](const at::Tensor& ca, const at::Tensor& sa, const at::Tensor& cb, const at::Tensor& sb) {
    return (at::minimum(ca + sa / 2, cb + sb / 2) - at::maximum(ca - sa / 2, cb - sb / 2)).clamp_min(0);
  };
  const auto span = [](const at::Tensor& ca, const at::Tensor& sa, const at::Tensor& cb, const at::Tensor& sb) {
    return at::maximum(ca + sa / 2, cb + sb / 2) - at::minimum(ca - sa / 2, cb - sb / 2);
  };
  const at::Tensor both = overlap(a.y, a.h, b.y, b.h) * overlap(a.x, a.w, b.x, b.w);
  const at::Tensor either = a.h * a.w + b.h * b.w - both;
  const at::Tensor iou = both / (either + kTiny);
  if (type == "iou") return (1 - iou).sum();
  const at::Tensor height = span(a.y, a.h, b.y, b.h);
  const at::Tensor width = span(a.x, a.w, b.x, b.w);
  if (type == "giou") {
    const at::Tensor hull = height * width;
    return (1 - iou + (hull - either) / (hull + kTiny)).sum();
  }
  const at::Tensor distance =
      ((a.y - b.y).square() + (a.x - b.x).square()) / (height.square() + width.square() + kTiny);
  if (type == "diou") return (1 - iou + distance).sum();
  const at::Tensor v = (at::atan(b.w / b.h) - at::atan(a.w / a.h)).square() * (4 / (kPi * kPi));
  const at::Tensor trade = (v / (1 - iou + v + kTiny)).detach();
  return (1 - iou + distance + trade * v).sum();
}

}  // namespace

Loss DetectionLoss(const DetectionLossOptions& o) {
  const std::string& type = o.iou_loss_type;
  OCTET_REQUIRE(type.empty() || type == "iou" || type == "giou" || type == "diou" || type == "ciou",
                "iou_loss_type '{}'; expected iou, giou, diou, ciou or nothing", type);
  Loss loss;
  loss.outputs = {"class_logits", "box_codes"};
  loss.compute = [o](const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& targets,
                     std::map<std::string, double>& metrics) {
    OCTET_CHECK(outputs.size() == 2 && targets.size() == 2, "{} outputs, {} targets", outputs.size(), targets.size());
    const at::Tensor& classes = targets[0];
    const at::Tensor positive = classes.ge(0);
    const double n = positive.sum().item<double>() + 1;
    const auto images = static_cast<double>(classes.size(0));
    const auto note = [&](const char* name, const at::Tensor& part) {
      metrics[name] += part.item<double>() * images;
      return part;
    };
    at::Tensor total = note("class_loss", FocalLoss(outputs[0], classes, o) / n);
    total = total + o.box_loss_weight * note("box_loss", HuberLoss(outputs[1], targets[1], o.delta) / (4 * n));
    if (!o.iou_loss_type.empty()) {
      const at::Tensor anchors = ViewAsTorch(o.anchors).to(classes.device()).expand({classes.size(0), -1, 4});
      const at::Tensor rows = positive.flatten().nonzero().squeeze(1);
      const auto pick = [&](const at::Tensor& t) { return t.reshape({-1, 4}).index_select(0, rows); };
      const Boxes predicted = Decode(pick(outputs[1]), pick(anchors));
      const Boxes wanted = Decode(pick(targets[1]), pick(anchors));
      total = total + o.iou_loss_weight * note("iou_loss", IouLoss(predicted, wanted, o.iou_loss_type) / (4 * n));
    }
    return total;
  };
  return loss;
}

}  // namespace octet::train
