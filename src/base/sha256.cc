#include "base/sha256.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>

namespace octet {
namespace {

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes, and of the square roots of the
// first 8: integer roots of prime * 2^(32 * power), whose low 32 bits they are.
struct Constants {
  std::array<uint32_t, 64> k{};
  std::array<uint32_t, 8> h{};

  Constants() {
    int found = 0;
    for (uint32_t n = 2; found < 64; ++n) {
      bool prime = true;
      for (uint32_t d = 2; d * d <= n; ++d) prime = prime && n % d != 0;
      if (!prime) continue;
      k[found] = Root(n, 3);
      if (found < 8) h[found] = Root(n, 2);
      ++found;
    }
  }

  static uint32_t Root(uint32_t prime, int power) {
    using Wide = unsigned __int128;
    const Wide target = static_cast<Wide>(prime) << (32 * power);
    uint64_t root = 0;
    for (int bit = 36; bit >= 0; --bit) {
      const uint64_t next = root | (uint64_t{1} << bit);
      Wide raised = next;
      for (int i = 1; i < power; ++i) raised *= next;
      if (raised <= target) root = next;
    }
    return static_cast<uint32_t>(root);
  }
};

uint32_t Rotate(uint32_t x, int n) {
  return (x >> n) | (x << (32 - n));
}

void AddBlock(const uint8_t* block, const Constants& constants, std::array<uint32_t, 8>* state) {
  std::array<uint32_t, 64> w;
  for (int i = 0; i < 16; ++i) {
    w[i] = uint32_t{block[4 * i]} << 24 | uint32_t{block[4 * i + 1]} << 16 | uint32_t{block[4 * i + 2]} << 8 |
           uint32_t{block[4 * i + 3]};
  }
  for (int i = 16; i < 64; ++i) {
    const uint32_t a = w[i - 15], b = w[i - 2];
    w[i] =
        w[i - 16] + (Rotate(a, 7) ^ Rotate(a, 18) ^ (a >> 3)) + w[i - 7] + (Rotate(b, 17) ^ Rotate(b, 19) ^ (b >> 10));
  }
  auto [a, b, c, d, e, f, g, h] = *state;
  for (int i = 0; i < 64; ++i) {
    const uint32_t t1 =
        h + (Rotate(e, 6) ^ Rotate(e, 11) ^ Rotate(e, 25)) + ((e & f) ^ (~e & g)) + constants.k[i] + w[i];
    const uint32_t t2 = (Rotate(a, 2) ^ Rotate(a, 13) ^ Rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  const uint32_t added[8] = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; ++i) (*state)[i] += added[i];
}

}  // namespace

std::string Sha256(std::string_view bytes) {
  static const Constants constants;
  std::array<uint32_t, 8> state = constants.h;
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  const size_t whole = bytes.size() / 64;
  for (size_t i = 0; i < whole; ++i) AddBlock(data + 64 * i, constants, &state);
  std::string tail(bytes.substr(64 * whole));
  tail.push_back('\x80');
  while (tail.size() % 64 != 56) tail.push_back('\0');
  const uint64_t bits = static_cast<uint64_t>(bytes.size()) * 8;
  for (int shift = 56; shift >= 0; shift -= 8) tail.push_back(static_cast<char>(bits >> shift));
  for (size_t at = 0; at < tail.size(); at += 64) {
    AddBlock(reinterpret_cast<const uint8_t*>(tail.data()) + at, constants, &state);
  }
  std::string text;
  for (const uint32_t word : state) text += fmt::format("{:08x}", word);
  return text;
}

}  // namespace octet
