/* octet's INT8 engine as a C library: load a plan once, make one context for each thread, run it on your own buffers.
 *
 *   octet_engine* engine;
 *   octet_context* context;
 *   if (octet_engine_load("resnet18.plan", &engine) != OCTET_OK) puts(octet_last_error());
 *   octet_context_create(engine, 1, 2, &context);             batch 1, two threads
 *   octet_context_run(context, &image, 1, &scores, 1);         f32, NCHW, dense
 *
 * Threads: an engine never changes, any number of threads may use it. A context is for one thread at a time. An engine
 * may be freed before its contexts. Every function that can fail returns a status and leaves a message for
 * octet_last_error of the same thread; no C++ exception leaves the library. */
#ifndef OCTET_ENGINE_H
#define OCTET_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define OCTET_API __attribute__((visibility("default")))
#else
#define OCTET_API
#endif

typedef struct octet_engine octet_engine;
typedef struct octet_context octet_context;

typedef enum octet_status {
  OCTET_OK = 0,
  OCTET_INVALID_ARGUMENT = 1, /* a null pointer, an index out of range, a batch that does not fit, ... */
  OCTET_BAD_PLAN = 2,         /* no such file, not a plan, damaged, another version, a graph that cannot run */
  OCTET_OUT_OF_MEMORY = 3,
  OCTET_INTERNAL = 4 /* a defect of octet */
} octet_status;

/* Belongs to the engine or context that it was asked of. */
typedef struct octet_tensor_info {
  const char* name;
  int rank;
  const int64_t* shape; /* -1 where the batch is chosen by the context */
  int64_t elements;     /* -1 while the batch is unknown */
} octet_tensor_info;

OCTET_API const char* octet_version(void);
/* What the last failed call of this thread said; "" before the first. Valid until the next failed call. */
OCTET_API const char* octet_last_error(void);

OCTET_API octet_status octet_engine_load(const char* plan_path, octet_engine** engine);
OCTET_API octet_status octet_engine_load_memory(const void* plan, size_t bytes, octet_engine** engine);
OCTET_API void octet_engine_free(octet_engine* engine); /* null: nothing */
OCTET_API int octet_engine_input_count(const octet_engine* engine);
OCTET_API int octet_engine_output_count(const octet_engine* engine);
OCTET_API octet_status octet_engine_input(const octet_engine* engine, int index, octet_tensor_info* info);
OCTET_API octet_status octet_engine_output(const octet_engine* engine, int index, octet_tensor_info* info);
/* What the plan's writer left: "classes", "preprocess" (JSON), ... ; null for a key that is not there. */
OCTET_API const char* octet_engine_info(const octet_engine* engine, const char* key);
/* One line: instruction set in use, steps. */
OCTET_API const char* octet_engine_description(const octet_engine* engine);

OCTET_API octet_status octet_context_create(const octet_engine* engine, int64_t batch, int threads,
                                            octet_context** context);
OCTET_API void octet_context_free(octet_context* context); /* null: nothing */
OCTET_API octet_status octet_context_input(const octet_context* context, int index, octet_tensor_info* info);
OCTET_API octet_status octet_context_output(const octet_context* context, int index, octet_tensor_info* info);
/* One buffer for each input and output, in the order of their indices, `elements` floats each, dense NCHW. */
OCTET_API octet_status octet_context_run(octet_context* context, const float* const* inputs, int input_count,
                                         float* const* outputs, int output_count);

#ifdef __cplusplus
}
#endif

#endif
