// Arguments in, exit code out; everything else is in cli/.
#include "proxy/cli/cli.hpp"

int main(int argc, char** argv) { return understudy::cli::run(argc, argv); }
