// octet-run PLAN IMAGE...: classes and probabilities of images by an INT8 plan, or the boxes that a detector's plan
// finds; with --bench N the time of a Run. Needs the plan only: class names and preprocessing are inside. Links no
// LibTorch.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "base/error.h"
#include "data/detection_transform.h"
#include "data/image.h"
#include "data/preprocess.h"
#include "data/preprocess_json.h"
#include "detection/anchors.h"
#include "detection/detections.h"
#include "engine/engine.h"

namespace octet::engine {
namespace {

struct Settings {
  std::string plan;
  std::vector<std::string> images;
  int threads = 1;
  int top = 5;
  float min_score = 0.3f;
  int bench = 0;
  int batch = 1;
  int slice = 0;
  bool profile = false;
  bool info = false;
};

std::vector<std::string> ClassNames(const Engine& engine) {
  const auto it = engine.info().find("classes");
  if (it == engine.info().end()) return {};
  return nlohmann::json::parse(it->second).get<std::vector<std::string>>();
}

data::PreprocessOptions Preprocessing(const Engine& engine, const std::string& plan) {
  const auto it = engine.info().find("preprocess");
  OCTET_REQUIRE(it != engine.info().end(),
                "plan '{}' does not say how images are prepared; build it from an octet model, or use --bench", plan);
  data::PreprocessOptions p;
  data::ReadPreprocessJson(it->second, &p);
  const Shape wanted = {p.channels, p.height, p.width};
  const Shape& shape = engine.inputs()[0].shape;
  OCTET_REQUIRE(Shape(shape.begin() + 1, shape.end()) == wanted,
                "plan '{}' reads {}, but its preprocessing makes [N,{},{},{}]; build it again", plan, ToString(shape),
                p.channels, p.height, p.width);
  return p;
}

std::vector<std::vector<float>> OutputMemory(const Context& context, std::vector<float*>* pointers) {
  std::vector<std::vector<float>> memory;
  for (const TensorInfo& info : context.outputs()) memory.emplace_back(NumElements(info.shape));
  for (std::vector<float>& m : memory) pointers->push_back(m.data());
  return memory;
}

// Returns how many images could not be read.
int Classify(const Engine& engine, Context& context, const Settings& settings) {
  const data::Preprocessor preprocessor(Preprocessing(engine, settings.plan));
  const data::DecodeOptions decode{preprocessor.options().channels, preprocessor.options().depth};
  const std::vector<std::string> names = ClassNames(engine);
  std::vector<float*> outputs;
  const std::vector<std::vector<float>> memory = OutputMemory(context, &outputs);
  std::vector<float> input(preprocessor.output_size());
  int failed = 0;
  for (const std::string& path : settings.images) {
    data::Image image;
    std::string problem;
    if (!data::DecodeImageFile(path, decode, &image, &problem)) {
      fmt::print(stderr, "octet-run: {}: {}\n", path, problem);
      ++failed;
      continue;
    }
    preprocessor.ForEvaluation(image, input.data());
    context.Run({input.data()}, outputs);
    const std::vector<float>& scores = memory[0];
    std::vector<size_t> order(scores.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const size_t top = std::min<size_t>(std::max(settings.top, 1), order.size());
    std::partial_sort(order.begin(), order.begin() + static_cast<int64_t>(top), order.end(),
                      [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    fmt::print("{}", path);
    for (size_t i = 0; i < top; ++i) {
      const size_t k = order[i];
      fmt::print("\t{} {:.4f}", k < names.size() ? names[k] : std::to_string(k), scores[k]);
    }
    fmt::print("\n");
  }
  return failed;
}

bool IsDetector(const Engine& engine) {
  return engine.info().count("anchors") != 0;
}

detection::AnchorOptions Anchors(const Engine& engine) {
  const nlohmann::json a = nlohmann::json::parse(engine.info().at("anchors"));
  detection::AnchorOptions o;
  o.height = a.at("height");
  o.width = a.at("width");
  o.min_level = a.at("min_level");
  o.max_level = a.at("max_level");
  o.num_scales = a.at("num_scales");
  o.anchor_scale = a.at("anchor_scale");
  o.aspect_ratios = detection::ParseAspectRatios(a.at("aspect_ratios"), "plan");
  return o;
}

// The outputs by name, as tensors.
Tensor Output(const Context& context, const std::vector<std::vector<float>>& memory, const char* name) {
  for (size_t i = 0; i < memory.size(); ++i) {
    if (context.outputs()[i].name == name) return Tensor::From<float>(context.outputs()[i].shape, memory[i]);
  }
  OCTET_FAIL("the plan says that it is a detector, but has no output '{}'; build it again", name);
}

// Prints a line per box: path, class, score, x1 y1 x2 y2 in pixels of the image. Returns how many images could not be
// read.
int Detect(const Engine& engine, Context& context, const Settings& settings) {
  const detection::AnchorOptions options = Anchors(engine);
  const Tensor anchors = detection::MakeAnchors(options);
  const int width = static_cast<int>(options.width), height = static_cast<int>(options.height);
  const std::vector<std::string> names = ClassNames(engine);
  detection::PostProcessOptions post;
  post.score_threshold = settings.min_score;
  std::vector<float*> outputs;
  const std::vector<std::vector<float>> memory = OutputMemory(context, &outputs);
  std::vector<float> input(static_cast<size_t>(3) * width * height);
  int failed = 0;
  for (const std::string& path : settings.images) {
    data::Image image;
    std::string problem;
    if (!data::DecodeImageFile(path, {}, &image, &problem)) {
      fmt::print(stderr, "octet-run: {}: {}\n", path, problem);
      ++failed;
      continue;
    }
    const data::Placement placement = data::FitPlacement(image.width, image.height, width, height);
    data::PlaceImage(image, placement, width, height, input.data());
    context.Run({input.data()}, outputs);
    const auto found =
        detection::PostProcess(Output(context, memory, "class_logits"), Output(context, memory, "box_codes"), anchors,
                               height, width, {0}, {static_cast<float>(1.0 / placement.scale)}, post);
    for (const detection::Detection& d : found) {
      const auto k = static_cast<size_t>(d.label);
      fmt::print("{}\t{} {:.4f}\t{:.1f} {:.1f} {:.1f} {:.1f}\n", path, k < names.size() ? names[k] : std::to_string(k),
                 d.score, d.x1, d.y1, d.x2, d.y2);
    }
    if (found.empty()) fmt::print("{}\tnothing\n", path);
  }
  return failed;
}

void Bench(const Engine& engine, Context& context, const Settings& settings) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> inputs;
  std::vector<const float*> input_pointers;
  for (const TensorInfo& info : context.inputs()) {
    inputs.emplace_back(NumElements(info.shape));
    for (float& v : inputs.back()) v = normal(random);
  }
  for (const std::vector<float>& v : inputs) input_pointers.push_back(v.data());
  std::vector<float*> outputs;
  const std::vector<std::vector<float>> memory = OutputMemory(context, &outputs);
  for (int i = 0; i < 3; ++i) context.Run(input_pointers, outputs);
  std::vector<double> ms;
  std::vector<double> cpu_ms;  // of all threads: what a run costs on a machine that is shared
  for (int i = 0; i < settings.bench; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t cpu_start = std::clock();
    context.Run(input_pointers, outputs);
    ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    cpu_ms.push_back(static_cast<double>(std::clock() - cpu_start) * 1e3 / CLOCKS_PER_SEC);
  }
  std::sort(ms.begin(), ms.end());
  std::sort(cpu_ms.begin(), cpu_ms.end());
  fmt::print(
      "batch {}{}, {} threads, {} runs: median {:.3f} ms, best {:.3f} ms, 95% {:.3f} ms; CPU time median {:.3f} ms\n",
      settings.batch, context.slice() < context.batch() ? fmt::format(" in slices of {}", context.slice()) : "",
      settings.threads, ms.size(), ms[ms.size() / 2], ms.front(), ms[ms.size() * 95 / 100], cpu_ms[ms.size() / 2]);
  if (settings.profile) {
    for (const StepTime& t : context.Profile()) {
      fmt::print("{:<40} {:<20} {:>9.1f} us {:>6.0f} GMAC/s\n", t.node, t.op, t.ms * 1e3, t.macs / t.ms * 1e-6);
    }
  }
}

double ResidentMb() {
  long total = 0, resident = 0;
  if (std::FILE* f = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(f, "%ld %ld", &total, &resident) != 2) resident = 0;
    std::fclose(f);
  }
  return static_cast<double>(resident) * 4096 / (1 << 20);
}

int Main(const Settings& settings) {
  const double memory_before = ResidentMb();
  const auto start = std::chrono::steady_clock::now();
  const Engine engine = Engine::Load(settings.plan);
  if (settings.info || settings.bench > 0) fmt::print("{}\n", engine.description());
  if (settings.info) {
    for (const TensorInfo& t : engine.inputs()) fmt::print("input {} f32{}\n", t.name, ToString(t.shape));
    for (const TensorInfo& t : engine.outputs()) fmt::print("output {} f32{}\n", t.name, ToString(t.shape));
    for (const auto& [key, value] : engine.info()) fmt::print("{}: {}\n", key, value);
  }
  ContextOptions options;
  options.threads = settings.threads;
  if (settings.bench > 0) {
    options.batch = settings.batch;
    options.slice = settings.slice;
  }
  const std::unique_ptr<Context> context = engine.NewContext(options);
  if (settings.info || settings.bench > 0) {
    for (const std::string& node : context->fallback_nodes()) fmt::print("slow reference kernel: {}\n", node);
  }
  const std::chrono::duration<double, std::milli> load = std::chrono::steady_clock::now() - start;
  if (settings.bench > 0) {
    Bench(engine, *context, settings);
    fmt::print("load {:.1f} ms; memory {:.1f} MB more than before, {:.1f} MB of it activations\n", load.count(),
               ResidentMb() - memory_before, static_cast<double>(context->arena_bytes()) / (1 << 20));
  }
  if (settings.images.empty()) return 0;
  const int failed = IsDetector(engine) ? Detect(engine, *context, settings) : Classify(engine, *context, settings);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace octet::engine

int main(int argc, char** argv) {
  octet::engine::Settings settings;
  CLI::App app{"octet-run: classes or boxes of images by an INT8 plan"};
  app.add_option("plan", settings.plan, "the .plan file")->required();
  app.add_option("images", settings.images, "image files");
  app.add_option("--threads", settings.threads, "threads of one Run")->check(CLI::PositiveNumber);
  app.add_option("--top", settings.top, "how many classes to print")->check(CLI::PositiveNumber);
  app.add_option("--min-score", settings.min_score, "detectors: boxes with a lower score are not printed")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--bench", settings.bench, "time so many runs on random input")->check(CLI::PositiveNumber);
  app.add_option("--batch", settings.batch, "with --bench: images in a run")->check(CLI::PositiveNumber);
  app.add_option("--slice", settings.slice, "with --bench: the most images that go together; 0: chosen by the engine")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--profile", settings.profile, "with --bench: the time of each step");
  app.add_flag("--info", settings.info, "print what the plan holds");
  CLI11_PARSE(app, argc, argv);
  if (settings.images.empty() && settings.bench == 0 && !settings.info) {
    std::fprintf(stderr, "octet-run: nothing to do: give images, --bench N or --info\n");
    return 1;
  }
  try {
    return octet::engine::Main(settings);
  } catch (const octet::Error& e) {
    std::fprintf(stderr, "octet-run: %s\n", e.what());
    return e.exit_code();
  } catch (const nlohmann::json::exception& e) {
    std::fprintf(stderr, "octet-run: the class names or preprocessing settings in '%s' are damaged: %s\n",
                 settings.plan.c_str(), e.what());
    return 1;
  }
}
