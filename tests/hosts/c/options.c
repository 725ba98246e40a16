#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

_Noreturn void fail(const char * what, const char * detail) {
    fprintf(stderr, "host: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
    exit(1);
}

struct options parse(int argc, char ** argv) {
    struct options options = {
        .strength = 1.0f, .prompt = 24, .decode = 6, .parts = 1, .sequences = 1, .ubatch = 512, .threads = 1, .flash = -1, .contexts = 1,
    };
    const struct { const char * name; const char ** value; } texts[] = {
        {"--model", &options.model},       {"--out", &options.out},       {"--backends", &options.backends},
        {"--install", &options.install},   {"--vector", &options.vector},
        {"--script", &options.script},     {"--cache", &options.cache},
        {"--choose", &options.choose},     {"--later", &options.later},   {"--hidden", &options.hidden},
        {"--install", &options.install},   {"--vector", &options.vector}, {"--embed", &options.embed},
        {"--turn", &options.turn},         {"--rpc", &options.rpc},
        {"--lacks", &options.lacks},
    };
    const struct { const char * name; int * value; } numbers[] = {
        {"--first", &options.first},       {"--last", &options.last},     {"--prompt", &options.prompt},
        {"--decode", &options.decode},     {"--sequences", &options.sequences}, {"--ubatch", &options.ubatch},
        {"--threads", &options.threads},   {"--back", &options.back},
        {"--parts", &options.parts},       {"--drafts", &options.drafts},
        {"--gpu-layers", &options.gpu_layers}, {"--flash", &options.flash}, {"--contexts", &options.contexts},
    };
    const struct { const char * name; bool * value; } switches[] = {
        {"--last-only", &options.last_only}, {"--count", &options.count}, {"--capture", &options.capture},
        {"--exported", &options.exported},   {"--separate", &options.separate},
        {"--shifts", &options.shifts},
    };
    for (int i = 1; i < argc; i++) {
        bool known = false;
        for (size_t k = 0; k < sizeof(switches) / sizeof(*switches); k++) {
            if (strcmp(argv[i], switches[k].name) == 0) {
                *switches[k].value = known = true;
            }
        }
        if (known) {
            continue;
        }
        if (i + 1 == argc) {
            fail("unknown option, or a value is missing", argv[i]);
        }
        for (size_t k = 0; k < sizeof(texts) / sizeof(*texts); k++) {
            if (strcmp(argv[i], texts[k].name) == 0) {
                *texts[k].value = argv[i + 1];
                known = true;
            }
        }
        for (size_t k = 0; k < sizeof(numbers) / sizeof(*numbers); k++) {
            if (strcmp(argv[i], numbers[k].name) == 0) {
                *numbers[k].value = atoi(argv[i + 1]);
                known = true;
            }
        }
        if (strcmp(argv[i], "--strength") == 0) {
            options.strength = strtof(argv[i + 1], NULL);
            known = true;
        }
        if (!known) {
            fail("unknown option", argv[i]);
        }
        i++;
    }
    if (!options.model || !options.out) {
        fail("--model and --out are needed", NULL);
    }
    return options;
}
