// What every command of every task does around its work: results folder, report, threads.
#pragma once

#include <functional>
#include <string>

#include "ir/graph.h"
#include "report/run_report.h"
#include "spec/spec.h"

namespace octet::task {

// <command>.results_dir when set, else <results_dir>/<command>. Throws when neither is set.
std::string ResultsFolder(const spec::Spec& spec, const std::string& command);

// Runs `body` with a report; on an error the FAILURE line is written before the error goes on.
void WithReport(const spec::Spec& spec, const std::string& command,
                const std::function<void(report::RunReport& report)>& body);

// Worker threads for decoding, and threads for computing: the spec's wish, at most the machine's.
int DataWorkers(const spec::Spec& spec, const std::string& key);
int ComputeThreads(const spec::Spec& spec);

// For train::GraphModule: "cpu", or "cuda:<first of gpu_ids>".
std::string DeviceFromSpec(const spec::Spec& spec);

// The plan when one is given, else the checkpoint; `section` is evaluate or inference.
std::string NetworkFile(const spec::Spec& spec, const std::string& section);

// The string at `key`, or `fallback` where it is empty. An .onnx path must end in .onnx.
std::string PathOr(const spec::Spec& spec, const std::string& key, const std::string& fallback);
std::string OnnxPathOr(const spec::Spec& spec, const std::string& key, const std::string& fallback);

// The network's input must be [N,channels,height,width]. Throws a user Error that names both sizes.
void RequireInput(const ir::Graph& graph, int64_t channels, int64_t height, int64_t width, const std::string& where);

}  // namespace octet::task
