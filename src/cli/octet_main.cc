#include "cli/commands.h"

int main(int argc, char** argv) {
  return octet::cli::Main(argc, argv);
}
