#include "task/ptq/calibration_images.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "base/files.h"
#include "data/data_loader.h"
#include "report/npy.h"

namespace octet::task {
namespace {

Tensor ChannelsLast(const Tensor& x) {
  const int64_t n = x.dim(0), c = x.dim(1), plane = x.dim(2) * x.dim(3);
  Tensor y(DType::kF32, {n, x.dim(2), x.dim(3), c});
  const float* from = x.data<float>();
  auto* to = y.mutable_data<float>();
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t k = 0; k < c; ++k) {
      for (int64_t p = 0; p < plane; ++p) to[(i * plane + p) * c + k] = from[(i * c + k) * plane + p];
    }
  }
  return y;
}

// Whole batches only where the network fixes the batch.
OpenImages FromImages(const ImageInput& input, const CalibrationImageOptions& options, int batch_size) {
  const std::vector<data::ImageFile> files =
      SpreadEvenly(data::ListImages(options.path), static_cast<size_t>(options.max_images));
  OCTET_REQUIRE(input.batch <= 0 || static_cast<int64_t>(files.size()) >= input.batch,
                "'{}' has {} images; the network reads batches of {}", options.path, files.size(), input.batch);
  data::PreprocessOptions preprocess = options.preprocess;
  preprocess.width = input.width;
  preprocess.height = input.height;
  preprocess.channels = input.channels;
  data::ImageSetOptions set_options;
  set_options.decode.channels = preprocess.channels;
  set_options.decode.depth = preprocess.depth;
  set_options.threads = options.threads;
  set_options.cache_bytes = size_t{256} << 20;
  set_options.what = "calibration images";
  const auto images = std::make_shared<data::ImageSet>(files, set_options);
  data::LoaderOptions loader_options;
  loader_options.batch_size = batch_size;
  loader_options.workers = options.threads;
  loader_options.drop_last = input.batch > 0;
  return [=]() -> ImageSource {
    const auto loader = std::make_shared<data::DataLoader>(images, preprocess, loader_options);
    loader->StartEpoch(0);
    return [=](Tensor& out) {
      data::Batch batch;
      if (!loader->Next(&batch)) return false;
      out = input.channels_last ? ChannelsLast(batch.images) : batch.images;
      return true;
    };
  };
}

Tensor ReadSample(const std::string& path, const Shape& wanted) {
  Tensor t = report::ReadNpy(path);
  const Shape sample(wanted.begin() + 1, wanted.end());
  const bool one = t.shape() == sample;
  const bool several = t.rank() == 4 && Shape(t.shape().begin() + 1, t.shape().end()) == sample;
  OCTET_REQUIRE(t.dtype() == DType::kF32 && (one || several), "'{}' holds {} {}; the network reads f32 {}", path,
                NameOf(t.dtype()), ToString(t.shape()), ToString(wanted));
  if (!one) return t;
  Shape shape = sample;
  shape.insert(shape.begin(), 1);
  return t.Reshaped(shape);
}

OpenImages FromTensors(const ir::Graph& graph, const ImageInput& input, const std::vector<std::string>& all,
                       const CalibrationImageOptions& options) {
  const Shape shape = graph.value(graph.inputs().at(0)).type.shape;
  const auto files =
      std::make_shared<std::vector<std::string>>(SpreadEvenly(all, static_cast<size_t>(options.max_images)));
  for (const std::string& path : {files->front(), files->back()}) {
    const Tensor t = ReadSample(path, shape);
    OCTET_REQUIRE(input.batch <= 0 || t.dim(0) == input.batch, "'{}' holds {} inputs; the network reads batches of {}",
                  path, t.dim(0), input.batch);
  }
  return [=]() -> ImageSource {
    auto next = std::make_shared<size_t>(0);
    return [=](Tensor& out) {
      if (*next == files->size()) return false;
      out = ReadSample((*files)[(*next)++], shape);
      return true;
    };
  };
}

}  // namespace

ImageInput ImageInputOf(const ir::Graph& graph) {
  OCTET_REQUIRE(graph.inputs().size() == 1, "the network '{}' has {} inputs; calibration feeds one image input",
                graph.name(), graph.inputs().size());
  const ir::Value& in = graph.value(graph.inputs()[0]);
  const Shape& s = in.type.shape;
  const auto image = [](int64_t channels) { return channels == 1 || channels == 3; };
  OCTET_REQUIRE(
      in.type.dtype == DType::kF32 && s.size() == 4 && s[1] > 0 && s[2] > 0 && s[3] > 0 && (image(s[1]) || image(s[3])),
      "the input '{}' is {}; calibration with images needs f32 [N,C,H,W] or [N,H,W,C] with 1 or 3 channels "
      "and a known size",
      in.name, ir::ToString(in.type));
  ImageInput input;
  input.batch = s[0];
  input.channels_last = !image(s[1]);
  input.channels = static_cast<int>(input.channels_last ? s[3] : s[1]);
  input.height = static_cast<int>(input.channels_last ? s[1] : s[2]);
  input.width = static_cast<int>(input.channels_last ? s[2] : s[3]);
  return input;
}

OpenImages OpenCalibrationImages(const ir::Graph& graph, const CalibrationImageOptions& options) {
  OCTET_REQUIRE(!options.path.empty(), "no calibration images given");
  if (IsDirectory(options.path)) {
    const std::vector<std::string> tensors = MatchingFiles(options.path + "/*.npy");
    if (!tensors.empty()) {
      const Shape& shape = graph.value(graph.inputs().at(0)).type.shape;
      ImageInput input;
      input.batch = shape.empty() ? ir::kDynamic : shape[0];
      return FromTensors(graph, input, tensors, options);
    }
  }
  const ImageInput input = ImageInputOf(graph);
  return FromImages(input, options, input.batch > 0 ? static_cast<int>(input.batch) : options.batch_size);
}

}  // namespace octet::task
