/* Runs an INT8 plan on one input: classify PLAN [RAW], where RAW holds the input's floats (NCHW); without it, zeros.
 * Build: cmake -S examples/c_api -B build/c_api -DCMAKE_PREFIX_PATH=<where octet is installed> && cmake --build build/c_api */
#include <octet_engine.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(call) \
  if ((call) != OCTET_OK) return fprintf(stderr, "classify: %s\n", octet_last_error()), 1

int main(int argc, char** argv) {
  octet_engine* engine;
  octet_context* context;
  octet_tensor_info in, out;
  if (argc < 2) return fprintf(stderr, "usage: classify PLAN [RAW]\n"), 1;
  CHECK(octet_engine_load(argv[1], &engine));
  CHECK(octet_context_create(engine, 1, 1, &context));
  CHECK(octet_context_input(context, 0, &in));
  CHECK(octet_context_output(context, 0, &out));
  float* image = calloc((size_t)in.elements, sizeof(float));
  float* scores = calloc((size_t)out.elements, sizeof(float));
  FILE* raw = argc > 2 ? fopen(argv[2], "rb") : NULL;
  if (argc > 2 && (!raw || fread(image, sizeof(float), (size_t)in.elements, raw) != (size_t)in.elements))
    return fprintf(stderr, "classify: %s does not hold %lld floats\n", argv[2], (long long)in.elements), 1;
  CHECK(octet_context_run(context, (const float* const*)&image, 1, &scores, 1));
  int64_t best = 0;
  for (int64_t i = 1; i < out.elements; ++i) best = scores[i] > scores[best] ? i : best;
  printf("class %lld, score %.6f (%s)\n", (long long)best, scores[best], octet_engine_description(engine));
  octet_context_free(context);
  octet_engine_free(engine);
  free(image), free(scores);
  return 0;
}
