// Large pages for large memory.
#pragma once

#include <cstddef>

namespace octet {

// Asks Linux to back [memory, memory + bytes) with 2 MiB pages where it can: loops over many megabytes then miss the
// TLB less. Only a hint: elsewhere, and for less than 2 MiB, it does nothing.
void AdviseHugePages(void* memory, size_t bytes);

}  // namespace octet
