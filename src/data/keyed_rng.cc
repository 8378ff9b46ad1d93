#include "data/keyed_rng.h"

#include <cmath>
#include <utility>

namespace octet::data {
namespace {

uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ULL;
constexpr double kPi = 3.14159265358979323846;

}  // namespace

KeyedRng::KeyedRng(uint64_t seed, uint64_t a, uint64_t b, uint64_t c) : state_(Mix(seed + kGolden)) {
  for (const uint64_t part : {a, b, c}) state_ = Mix(state_ ^ Mix(part + kGolden));
}

uint64_t KeyedRng::Next() {
  return Mix(state_ += kGolden);
}

double KeyedRng::Uniform() {
  return static_cast<double>(Next() >> 11) * 0x1.0p-53;
}

double KeyedRng::Uniform(double low, double high) {
  return low + (high - low) * Uniform();
}

int64_t KeyedRng::Integer(int64_t low, int64_t high) {
  const auto range = static_cast<uint64_t>(high - low) + 1;
  // The bias of a plain remainder is below range / 2^64.
  return low + static_cast<int64_t>(Next() % range);
}

double KeyedRng::Normal() {
  // Box-Muller; 1 - u keeps the logarithm's argument above 0.
  const double radius = std::sqrt(-2.0 * std::log(1.0 - Uniform()));
  return radius * std::cos(2.0 * kPi * Uniform());
}

double KeyedRng::Gamma(double shape) {
  // Marsaglia and Tsang 2000; below 1 through Gamma(a) = Gamma(a + 1) U^(1/a).
  if (shape < 1.0) return Gamma(shape + 1.0) * std::pow(1.0 - Uniform(), 1.0 / shape);
  const double d = shape - 1.0 / 3.0;
  const double c = 1.0 / std::sqrt(9.0 * d);
  while (true) {
    const double x = Normal();
    const double v = std::pow(1.0 + c * x, 3);
    if (v <= 0.0) continue;
    if (std::log(1.0 - Uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

double KeyedRng::Beta(double a, double b) {
  const double x = Gamma(a);
  const double y = Gamma(b);
  return x + y > 0 ? x / (x + y) : 0.5;
}

std::vector<int64_t> ShuffledOrder(int64_t count, uint64_t seed, uint64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) order[i] = i;
  KeyedRng rng(seed, epoch, 0x5348554646ULL);
  for (int64_t i = count - 1; i > 0; --i) std::swap(order[i], order[rng.Integer(0, i)]);
  return order;
}

}  // namespace octet::data
