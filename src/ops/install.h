// Fills the table of operators (ir/op_def.h). Call it once at the start of a program or test; more calls do nothing.
#pragma once

namespace octet::ops {

void InstallOps();

}  // namespace octet::ops
