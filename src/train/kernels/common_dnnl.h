// What the files that call oneDNN share: engine, streams, and primitives compiled once per shape.
#pragma once

#include <dnnl.hpp>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "train/kernels/conv_dnnl.h"

namespace octet::train {

// Never destroyed: threads that outlive static objects may hold primitives.
inline const dnnl::engine& DnnlEngine() {
  static const auto* engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

// Of the calling thread.
inline dnnl::stream& DnnlStream() {
  thread_local dnnl::stream stream(DnnlEngine());
  return stream;
}

inline dnnl::memory DnnlWrap(const dnnl::memory::desc& desc, const void* data) {
  return dnnl::memory(desc, DnnlEngine(), const_cast<void*>(data));
}

// "16x64x56x56 -> 64 channels, kernel 3x3, group 1", for messages.
std::string ToString(const ConvShape& shape);

// One entry per shape and kind of call. Bounded, because the last batch of an epoch and images of many sizes bring
// new shapes. Thread-safe; an entry lives as long as somebody holds it.
template <typename Compiled>
class DnnlCache {
 public:
  template <typename Build>
  std::shared_ptr<Compiled> Get(std::initializer_list<int64_t> kind, const ConvShape& s, Build build) {
    std::vector<int64_t> key(kind);
    key.insert(key.end(), {s.batch, s.in_channels, s.out_channels, s.group});
    for (const auto& pair : {s.in, s.out, s.kernel, s.strides, s.dilations, s.pad_begin, s.pad_end}) {
      key.insert(key.end(), pair.begin(), pair.end());
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = entries_.find(key);
    if (found != entries_.end()) return found->second;
    if (entries_.size() >= kMost) entries_.clear();
    return entries_.emplace(std::move(key), std::make_shared<Compiled>(build())).first->second;
  }

 private:
  static constexpr size_t kMost = 2048;
  std::mutex mutex_;
  std::map<std::vector<int64_t>, std::shared_ptr<Compiled>> entries_;
};

}  // namespace octet::train
