// The C interface: exceptions become a status and a message of the calling thread.
#include "engine/octet_engine.h"

#include <new>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/plan.h"

namespace {

using octet::engine::Context;
using octet::engine::Engine;
using octet::engine::TensorInfo;

std::string& LastError() {
  thread_local std::string message;
  return message;
}

octet_status Fail(octet_status status, const std::string& message) {
  try {
    LastError() = message;
  } catch (...) {
    // No memory for the message: the status says enough.
  }
  return status;
}

// `user`: what a user's error means in this call.
template <typename F>
octet_status Guard(octet_status user, F&& f) {
  try {
    f();
    return OCTET_OK;
  } catch (const octet::Error& e) {
    return Fail(e.kind() == octet::ErrorKind::kUser ? user : OCTET_INTERNAL, e.what());
  } catch (const std::bad_alloc&) {
    return Fail(OCTET_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& e) {
    return Fail(OCTET_INTERNAL, e.what());
  } catch (...) {
    return Fail(OCTET_INTERNAL, "unknown exception");
  }
}

void Describe(const TensorInfo& tensor, octet_tensor_info* info) {
  info->name = tensor.name.c_str();
  info->rank = static_cast<int>(tensor.shape.size());
  info->shape = tensor.shape.data();
  info->elements = 1;
  for (const int64_t d : tensor.shape) info->elements = d < 0 || info->elements < 0 ? -1 : info->elements * d;
}

octet_status DescribeAt(const std::vector<TensorInfo>& tensors, int index, octet_tensor_info* info) {
  if (info == nullptr || index < 0 || static_cast<size_t>(index) >= tensors.size()) {
    return Fail(OCTET_INVALID_ARGUMENT, fmt::format("tensor {} of {}, or a null pointer", index, tensors.size()));
  }
  Describe(tensors[static_cast<size_t>(index)], info);
  return OCTET_OK;
}

}  // namespace

struct octet_engine {
  Engine engine;
  std::string description;
};

struct octet_context {
  std::unique_ptr<Context> context;
  std::vector<const float*> inputs;
  std::vector<float*> outputs;
};

extern "C" {

const char* octet_version(void) {
  return "0.1.0";
}

const char* octet_last_error(void) {
  return LastError().c_str();
}

octet_status octet_engine_load(const char* plan_path, octet_engine** engine) {
  if (plan_path == nullptr || engine == nullptr) return Fail(OCTET_INVALID_ARGUMENT, "octet_engine_load: null pointer");
  *engine = nullptr;
  return Guard(OCTET_BAD_PLAN, [&] {
    Engine loaded = Engine::Load(plan_path);
    const std::string description = loaded.description();
    *engine = new octet_engine{std::move(loaded), description};
  });
}

octet_status octet_engine_load_memory(const void* plan, size_t bytes, octet_engine** engine) {
  if (plan == nullptr || engine == nullptr) {
    return Fail(OCTET_INVALID_ARGUMENT, "octet_engine_load_memory: null pointer");
  }
  *engine = nullptr;
  return Guard(OCTET_BAD_PLAN, [&] {
    const octet::engine::Plan read =
        octet::engine::DeserializePlan(std::string(static_cast<const char*>(plan), bytes), "(memory)");
    Engine loaded = Engine::FromGraph(read.graph, read.info);
    const std::string description = loaded.description();
    *engine = new octet_engine{std::move(loaded), description};
  });
}

void octet_engine_free(octet_engine* engine) {
  delete engine;
}

int octet_engine_input_count(const octet_engine* engine) {
  return engine ? static_cast<int>(engine->engine.inputs().size()) : 0;
}

int octet_engine_output_count(const octet_engine* engine) {
  return engine ? static_cast<int>(engine->engine.outputs().size()) : 0;
}

octet_status octet_engine_input(const octet_engine* engine, int index, octet_tensor_info* info) {
  if (engine == nullptr) return Fail(OCTET_INVALID_ARGUMENT, "octet_engine_input: null pointer");
  return DescribeAt(engine->engine.inputs(), index, info);
}

octet_status octet_engine_output(const octet_engine* engine, int index, octet_tensor_info* info) {
  if (engine == nullptr) return Fail(OCTET_INVALID_ARGUMENT, "octet_engine_output: null pointer");
  return DescribeAt(engine->engine.outputs(), index, info);
}

const char* octet_engine_info(const octet_engine* engine, const char* key) {
  if (engine == nullptr || key == nullptr) return nullptr;
  const auto& info = engine->engine.info();
  const auto it = info.find(key);
  return it == info.end() ? nullptr : it->second.c_str();
}

const char* octet_engine_description(const octet_engine* engine) {
  return engine ? engine->description.c_str() : "";
}

octet_status octet_context_create(const octet_engine* engine, int64_t batch, int threads, octet_context** context) {
  if (engine == nullptr || context == nullptr) {
    return Fail(OCTET_INVALID_ARGUMENT, "octet_context_create: null pointer");
  }
  *context = nullptr;
  if (threads < 1 || threads > 1024) {
    return Fail(OCTET_INVALID_ARGUMENT, fmt::format("octet_context_create: {} threads; expected 1 to 1024", threads));
  }
  return Guard(OCTET_INVALID_ARGUMENT, [&] {
    octet::engine::ContextOptions options;
    options.batch = batch;
    options.threads = threads;
    auto made = std::make_unique<octet_context>();
    made->context = engine->engine.NewContext(options);
    made->inputs.resize(made->context->inputs().size());
    made->outputs.resize(made->context->outputs().size());
    *context = made.release();
  });
}

void octet_context_free(octet_context* context) {
  delete context;
}

octet_status octet_context_input(const octet_context* context, int index, octet_tensor_info* info) {
  if (context == nullptr) return Fail(OCTET_INVALID_ARGUMENT, "octet_context_input: null pointer");
  return DescribeAt(context->context->inputs(), index, info);
}

octet_status octet_context_output(const octet_context* context, int index, octet_tensor_info* info) {
  if (context == nullptr) return Fail(OCTET_INVALID_ARGUMENT, "octet_context_output: null pointer");
  return DescribeAt(context->context->outputs(), index, info);
}

octet_status octet_context_run(octet_context* context, const float* const* inputs, int input_count,
                               float* const* outputs, int output_count) {
  if (context == nullptr || inputs == nullptr || outputs == nullptr) {
    return Fail(OCTET_INVALID_ARGUMENT, "octet_context_run: null pointer");
  }
  if (static_cast<size_t>(input_count) != context->inputs.size() ||
      static_cast<size_t>(output_count) != context->outputs.size()) {
    return Fail(OCTET_INVALID_ARGUMENT,
                fmt::format("octet_context_run: {} inputs and {} outputs; the network has {} and {}", input_count,
                            output_count, context->inputs.size(), context->outputs.size()));
  }
  for (size_t i = 0; i < context->inputs.size(); ++i) {
    if (inputs[i] == nullptr)
      return Fail(OCTET_INVALID_ARGUMENT, fmt::format("octet_context_run: input {} is null", i));
    context->inputs[i] = inputs[i];
  }
  for (size_t i = 0; i < context->outputs.size(); ++i) {
    if (outputs[i] == nullptr) {
      return Fail(OCTET_INVALID_ARGUMENT, fmt::format("octet_context_run: output {} is null", i));
    }
    context->outputs[i] = outputs[i];
  }
  return Guard(OCTET_INTERNAL, [&] { context->context->Run(context->inputs, context->outputs); });
}

}  // extern "C"
