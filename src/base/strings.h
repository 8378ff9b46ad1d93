// Small string functions that error messages and file formats share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace octet {

std::vector<std::string> Split(std::string_view text, char separator);
std::string Join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view Trim(std::string_view text);
bool StartsWith(std::string_view text, std::string_view prefix);
bool EndsWith(std::string_view text, std::string_view suffix);

// Levenshtein distance.
size_t EditDistance(std::string_view a, std::string_view b);

// The candidate nearest to `name`, or "" when none is near enough to be a likely typo.
std::string NearestName(std::string_view name, const std::vector<std::string>& candidates);

// FNV-1a, 64 bit: checksums in our file formats.
uint64_t Fnv1a64(const void* data, size_t size, uint64_t seed = 14695981039346656037ULL);

}  // namespace octet
