# find_package(octet_engine): the target octet::engine, a shared library with the C interface octet_engine.h.
include(${CMAKE_CURRENT_LIST_DIR}/octet_engineTargets.cmake)
