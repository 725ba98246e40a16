// Several contexts, one after the other and beside each other.
#include "scenarios.h"

#include <cstdio>
#include <set>

// One context that generates, one for embeddings, one that drafts, and one of another architecture.
int kinds() {
    llama_model *   m     = model();
    llama_model *   other = model("gemma");
    llama_context * all[] = { context(m), context(m, 1), context(m, 2), context(other) };
    for (llama_context * ctx : all) {
        decode(ctx, 1, 1);
    }
    stats();
    for (llama_context * ctx : all) {
        host().free(ctx);
    }
    host().model_free(other);
    host().model_free(m);
    return 0;
}

static void living(const char * when) {
    printf("%s: %d contexts of ggml, %d buffers\n", when, host().living()->contexts.load(), host().living()->buffers.load());
}

// count contexts, one after the other; failing=1: every second one fails while it is made.
int many() {
    llama_model *      m = model();
    std::set<void *> addresses;
    long             early = 0;
    const int        count = argument("count", 100);
    living("before");
    for (int i = 0; i < count; i++) {
        host().settings()->throw_in = argument("failing", 0) && i % 2 ? argument("throw", NULL_CTOR) : NULL_NOWHERE;
        llama_context_params params = host().default_params();
        if (llama_context * ctx = host().init(m, params)) {
            addresses.insert(ctx);
            host().decode(ctx, 3, 1);
            host().free(ctx);
        }
        early = i == count / 4 ? resident() : early;
    }
    host().settings()->throw_in = NULL_NOWHERE;
    living("after");
    printf("%zu addresses\n", addresses.size());
    printf("grown by %ld KiB\n", resident() - early);
    stats();
    host().model_free(m);
    return 0;
}

// One context that builds a graph for every one of `count` evaluations.
int builds() {
    llama_model *   m     = model();
    llama_context * ctx   = context(m);
    const int       count = argument("count", 10000);
    long            early = 0;
    host().settings()->no_reuse = 1;
    for (int i = 0; i < count; i++) {
        if (host().decode(ctx, 1 + i % 3, 1) != 0) {
            printf("decode failed\n");
        }
        if (i == count / 10) {
            living("early");
            early = resident();
        }
    }
    living("late");
    printf("grown by %ld KiB\n", resident() - early);
    stats();
    host().free(ctx);
    living("freed");
    host().model_free(m);
    return 0;
}

// The library is installed when a context is there already: that one stays as it is, the next one is bound.
int late() {
    llama_model *   m   = model();
    llama_context * ctx = context(m);
    decode(ctx, 1, 1);
    printf("install: %d\n", open_plugin("ek_install", false));
    decode(ctx, 1, 1);
    decode(ctx, 2, 1);
    llama_context * next = context(m);
    decode(next, 1, 1);
    stats();
    host().free(ctx);
    host().free(next);
    host().model_free(m);
    return 0;
}
