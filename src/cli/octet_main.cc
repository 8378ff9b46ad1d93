// The `octet` program. OpenMP's threads spin while they wait unless told otherwise before the library loads: with
// another busy process on the machine that made training 3 to 6 times slower (docs/benchmarks.md), so the program
// starts itself again once with OMP_WAIT_POLICY=passive, unless the user chose a policy.
#include <unistd.h>

#include <cstdlib>

#include "cli/commands.h"

int main(int argc, char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") == nullptr && std::getenv("GOMP_SPINCOUNT") == nullptr) {
    setenv("OMP_WAIT_POLICY", "passive", 1);
    execv("/proc/self/exe", argv);  // on failure we just go on
  }
  return octet::cli::Main(argc, argv);
}
