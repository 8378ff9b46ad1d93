#include "train/step_profile.h"

namespace octet::train {
namespace {

bool enabled = false;

std::map<std::string, StepProfile::Seconds>& Parts() {
  static auto* parts = new std::map<std::string, StepProfile::Seconds>;
  return *parts;
}

}  // namespace

void StepProfile::Enable(bool on) {
  enabled = on;
}

std::map<std::string, StepProfile::Seconds> StepProfile::Take() {
  std::map<std::string, Seconds> taken;
  taken.swap(Parts());
  return taken;
}

StepProfile::Scope::Scope(const char* part) : part_(enabled ? part : nullptr) {
  if (part_ == nullptr) return;
  start_ = std::chrono::steady_clock::now();
  cpu_ = std::clock();
}

StepProfile::Scope::~Scope() {
  if (part_ == nullptr) return;
  Seconds& sum = Parts()[part_];
  sum.wall += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  sum.cpu += static_cast<double>(std::clock() - cpu_) / CLOCKS_PER_SEC;
}

}  // namespace octet::train
