#include "report/run_report.h"

#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/strings.h"

namespace octet::report {
namespace {

using Json = nlohmann::ordered_json;

std::string CpuName() {
  std::ifstream in("/proc/cpuinfo");
  std::string line;
  while (std::getline(in, line)) {
    const size_t colon = line.find(':');
    if (StartsWith(line, "model name") && colon != std::string::npos) return std::string(Trim(line.substr(colon + 1)));
  }
  return "unknown";
}

}  // namespace

const char* OctetVersion() {
  return "0.1.0";
}

struct RunReport::State {
  std::string folder;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  Json results;

  void StatusLine(const char* status, const char* verbosity, const std::string& message,
                  const std::map<std::string, double>& kpi = {},
                  const std::map<std::string, double>& extras = {}) const {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    Json line;
    line["date"] = fmt::format("{}/{}/{}", local.tm_mon + 1, local.tm_mday, local.tm_year + 1900);
    line["time"] = fmt::format("{}:{}:{}", local.tm_hour, local.tm_min, local.tm_sec);
    line["status"] = status;
    line["verbosity"] = verbosity;
    line["message"] = message;
    if (!kpi.empty()) line["kpi"] = kpi;
    for (const auto& [key, value] : extras) line[key] = value;
    AppendLine(folder + "/status.json", line.dump());
  }
};

RunReport::RunReport(const std::string& folder, const std::string& task, const std::string& command,
                     const std::string& settings)
    : state_(std::make_unique<State>()) {
  MakeDirectories(folder);
  state_->folder = folder;
  Json& r = state_->results;
  r["octet_version"] = OctetVersion();
  r["task"] = task;
  r["command"] = command;
  r["metrics"] = Json::object();
  r["timings_s"] = Json::object();
  r["files"] = Json::object();
  r["versions"] = Json::object();
  r["cpu"] = CpuName();
  r["settings"] = settings;
  state_->StatusLine("STARTED", "INFO", "Starting " + task + " " + command + ".");
}

RunReport::~RunReport() = default;
RunReport::RunReport(RunReport&&) noexcept = default;

const std::string& RunReport::folder() const {
  return state_->folder;
}
void RunReport::Metric(const std::string& name, double value) {
  state_->results["metrics"][name] = value;
}
void RunReport::Metric(const std::string& name, const std::string& value) {
  state_->results["metrics"][name] = value;
}
void RunReport::MetricList(const std::string& name, const std::vector<double>& values) {
  state_->results["metrics"][name] = values;
}
void RunReport::MetricTable(const std::string& name,
                            const std::vector<std::pair<std::string, std::map<std::string, double>>>& rows) {
  Json table = Json::object();
  for (const auto& [row, columns] : rows) table[row] = columns;
  state_->results["metrics"][name] = table;
}
void RunReport::TimingSeconds(const std::string& name, double seconds) {
  state_->results["timings_s"][name] = seconds;
}
void RunReport::Version(const std::string& library, const std::string& version) {
  state_->results["versions"][library] = version;
}
void RunReport::OutputFile(const std::string& what, const std::string& path) {
  state_->results["files"][what] = path;
}

void RunReport::Running(const std::string& message, const std::map<std::string, double>& kpi,
                        const std::map<std::string, double>& extras) {
  state_->StatusLine("RUNNING", "INFO", message, kpi, extras);
}

void RunReport::Success(const std::string& message) {
  TimingSeconds("total", std::chrono::duration<double>(std::chrono::steady_clock::now() - state_->start).count());
  WriteFileAtomic(state_->folder + "/results.json", state_->results.dump(2) + "\n");
  std::map<std::string, double> kpi;
  for (const auto& [key, value] : state_->results["metrics"].items()) {
    if (value.is_number()) kpi[key] = value.get<double>();
  }
  state_->StatusLine("SUCCESS", "INFO", message, kpi);
}

void RunReport::Failure(const std::string& message) noexcept {
  try {
    state_->StatusLine("FAILURE", "ERROR", message);
  } catch (...) {  // the error that brought us here is the one to report
  }
}

}  // namespace octet::report
