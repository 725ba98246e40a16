// driver SCENARIO [KEY=VALUE]...: does to the null host what a program does to llama.cpp, and prints what happened.
//
//   door       0: none, or preloaded  1: ek_install  2: as GGML_BACKEND_PATH  3: as 1, and the library is closed again
//   throw, shape, graph-size, print, no-reuse, fresh, no-memory, measure, equal, eog, whole, trace    the null host's settings (null/options.h)
//   width, blocks                     of the model
//   batch, ubatch                     of contexts: the most tokens in a call to decode, and in a graph
//   early                             1: ek_install, 2: ggml_backend_score, before the host is loaded
#include "host.h"

#include <cstdio>
#include <cstdlib>
#include <unistd.h>

int main(int argc, char ** argv) {
    // A hook that leads back to itself must not keep the tests for ever.
    alarm(300);
    setvbuf(stdout, nullptr, _IOLBF, 0);
    for (int i = 2; i < argc; i++) {
        const std::string text  = argv[i];
        const size_t      equal = text.find('=');
        arguments[text.substr(0, equal)] = equal == std::string::npos ? 1 : atoi(text.c_str() + equal + 1);
    }
    Scenario scenario = argc > 1 ? find(argv[1]) : nullptr;
    if (!scenario) {
        fprintf(stderr, "driver: no such scenario\n");
        return 98;
    }
    if (const int early = argument("early", 0)) {
        printf("early: %d\n", open_plugin(early == 2 ? "ggml_backend_score" : "ek_install", false));
        printf("%s\n", EK(ek_last_error)());
    }
    null_options & options  = *host().settings();
    options.shape           = argument("shape", 0);
    options.graph_size      = argument("graph-size", 256);
    options.print           = argument("print", 0);
    options.no_reuse        = argument("no-reuse", 0);
    options.fresh_addresses = argument("fresh", 0);
    options.no_memory       = argument("no-memory", 0);
    options.measure         = argument("measure", 0);
    options.equal           = argument("equal", 0);
    options.eog             = argument("eog", 0);
    options.whole           = argument("whole", 0);
    options.trace           = argument("trace", 0);
    const int door = argument("door", 0);
    if (door == 2) {
        printf("score: %d\n", open_plugin("ggml_backend_score", true));
    } else if (door) {
        const int status = open_plugin("ek_install", door == 3);
        printf("install: %d\n", status);
        if (status != EK_OK) {
            printf("%s\n", EK(ek_last_error)());
        }
    }
    return scenario();
}
