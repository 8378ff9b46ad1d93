// `octet quantize`, `octet sensitivity` and `octet inspect`: their flags.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace octet::cli {

// Add commands to `app`; the one that the user chose sets `action`.
void AddQuantize(CLI::App& app, std::function<void()>* action);  // quantize, sensitivity
void AddInspect(CLI::App& app, std::function<void()>* action);

}  // namespace octet::cli
