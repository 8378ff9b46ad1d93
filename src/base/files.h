// Whole-file reading and atomic writing: a file appears complete under its name, or the old one stays.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace octet {

// The whole file. `what` names the kind of file in the error ("spec file", "plan"). Throws a user Error that names
// the path when it does not exist or cannot be read.
std::string ReadFile(const std::string& path, std::string_view what = "file");

// Writes `bytes` to a temporary file beside `path`, fsyncs and renames it. Makes missing folders. On any
// failure (full disk, no permission) throws a user Error and leaves an existing `path` untouched.
void WriteFileAtomic(const std::string& path, std::string_view bytes);

// Same, for writers that need a stream or a path of their own (libraries that open files by name): `fill` writes the
// temporary file whose name it is given.
void WriteFileAtomicWith(const std::string& path, const std::function<void(const std::string& temporary)>& fill);

// Appends one line (a '\n' is added) with a single write.
void AppendLine(const std::string& path, std::string_view line);

bool FileExists(const std::string& path);
bool IsDirectory(const std::string& path);
// The names that fit a pattern with *, ? and [], in order; a name without these stands for itself. Empty when there is
// none.
std::vector<std::string> MatchingFiles(const std::string& pattern);
void MakeDirectories(const std::string& path);

}  // namespace octet
