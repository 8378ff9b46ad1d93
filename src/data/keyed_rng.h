// Random numbers that depend on a key only, not on who draws when: each sample of each epoch has a generator of its
// own, so that results do not change with the number of threads or with a resume. The same on every platform.
#pragma once

#include <cstdint>
#include <vector>

namespace octet::data {

class KeyedRng {
 public:
  KeyedRng(uint64_t seed, uint64_t a, uint64_t b = 0, uint64_t c = 0);

  uint64_t Next();                             // 64 random bits (SplitMix64)
  double Uniform();                            // [0, 1)
  double Uniform(double low, double high);     // [low, high)
  int64_t Integer(int64_t low, int64_t high);  // low and high included
  bool Coin() { return (Next() >> 63) != 0; }
  double Normal();             // mean 0, deviation 1
  double Gamma(double shape);  // scale 1, shape > 0
  double Beta(double a, double b);

 private:
  uint64_t state_;
};

// 0 .. count-1 in an order that depends on (seed, epoch) only.
std::vector<int64_t> ShuffledOrder(int64_t count, uint64_t seed, uint64_t epoch);

}  // namespace octet::data
