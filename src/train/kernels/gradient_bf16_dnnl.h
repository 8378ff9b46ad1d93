// Gradients of a convolution through oneDNN with bfloat16 operands, for CPUs with AMX: INT8 codes are exact in
// bfloat16, and its matrix unit multiplies four times as many of them per instruction as AVX-512 does of s16.
#pragma once

#include <cstdint>

#include "train/kernels/conv_dnnl.h"

namespace octet::train {

// The CPU has AMX, or OCTET_FORCE_BF16=1 is in the environment (emulated elsewhere, slowly: for tests).
bool PrefersBf16Gradients();

// Memory as in conv_dnnl.h; bfloat16 numbers are the upper halves of floats. shape.group is 1.
void DataGradientBf16(const ConvShape& shape, const uint16_t* dy, const uint16_t* weight, float* dx);
void WeightGradientBf16(const ConvShape& shape, const uint16_t* x, const uint16_t* dy, float* dweight);

}  // namespace octet::train
