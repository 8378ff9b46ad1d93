// The commands of the `octet` program.
#pragma once

namespace octet::cli {

// Parses the command line, runs the command, prints one error line on failure. Returns the exit code: 0 done, 1 the
// user's input is at fault, 2 the command line is, 70 octet is.
int Main(int argc, char** argv);

}  // namespace octet::cli
