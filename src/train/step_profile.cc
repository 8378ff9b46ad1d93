#include "train/step_profile.h"

namespace octet::train {
namespace {

bool enabled = false;
thread_local StepProfile::Scope* innermost = nullptr;

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
  outer_ = innermost;
  innermost = this;
  start_ = std::chrono::steady_clock::now();
  cpu_ = std::clock();
}

StepProfile::Scope::~Scope() {
  if (part_ == nullptr) return;
  const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const double cpu = static_cast<double>(std::clock() - cpu_) / CLOCKS_PER_SEC;
  Seconds& sum = Parts()[part_];
  sum.wall += wall - inner_.wall;
  sum.cpu += cpu - inner_.cpu;
  innermost = outer_;
  if (outer_ == nullptr) return;
  outer_->inner_.wall += wall;
  outer_->inner_.cpu += cpu;
}

}  // namespace octet::train
