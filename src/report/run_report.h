// What every command leaves beside its output: results.json (metrics, timings, settings, versions; written whole at the
// end) and TAO-style status.json (one JSON object a line, appended as the run goes; tao.md 1.3).
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace octet::report {

const char* OctetVersion();

class RunReport {
 public:
  // Makes `folder` and appends the STARTED line. `settings`: the resolved spec as YAML text, kept in results.json.
  RunReport(const std::string& folder, const std::string& task, const std::string& command,
            const std::string& settings);
  ~RunReport();
  RunReport(RunReport&&) noexcept;

  const std::string& folder() const;
  void Metric(const std::string& name, double value);
  void Metric(const std::string& name, const std::string& value);
  // A table of numbers under one name: per-class precision, a learning curve, ...
  void MetricList(const std::string& name, const std::vector<double>& values);
  // Rows by name, each with its columns by name: precision and recall of every class.
  void MetricTable(const std::string& name,
                   const std::vector<std::pair<std::string, std::map<std::string, double>>>& rows);
  void TimingSeconds(const std::string& name, double seconds);
  void Version(const std::string& library, const std::string& version);
  void OutputFile(const std::string& what, const std::string& path);

  // A RUNNING line with `kpi` numbers, and the per-epoch extras as TAO names them: epoch, max_epoch, time_per_epoch,
  // eta, loss, ...
  void Running(const std::string& message, const std::map<std::string, double>& kpi = {},
               const std::map<std::string, double>& extras = {});
  // Writes results.json and the SUCCESS line.
  void Success(const std::string& message);
  // The FAILURE line. Never throws: it is called while another error is on its way.
  void Failure(const std::string& message) noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace octet::report
