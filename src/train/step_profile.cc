#include "train/step_profile.h"

namespace octet::train {
namespace {

bool enabled = false;

std::map<std::string, double>& Parts() {
  static auto* parts = new std::map<std::string, double>;
  return *parts;
}

}  // namespace

void StepProfile::Enable(bool on) {
  enabled = on;
}

std::map<std::string, double> StepProfile::Take() {
  std::map<std::string, double> taken;
  taken.swap(Parts());
  return taken;
}

StepProfile::Scope::Scope(const char* part) : part_(enabled ? part : nullptr) {
  if (part_ != nullptr) start_ = std::chrono::steady_clock::now();
}

StepProfile::Scope::~Scope() {
  if (part_ == nullptr) return;
  Parts()[part_] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

}  // namespace octet::train
