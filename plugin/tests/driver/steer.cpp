// What every program does: a model, a context, a prompt, tokens.
#include "scenarios.h"

#include <cstdio>
#include <stdexcept>

// throw: where the host throws, once the context is there (or while it is made, with throw-early=1)
int steer() {
    null_options & options = *host().settings();
    if (argument("throw-early", 0)) {
        options.throw_in = argument("throw", 0);
    }
    llama_model *   m   = model();
    llama_context * ctx = context(m, argument("kind", 0));
    if (ctx) {
        options.throw_in = argument("throw", 0);
        decode(ctx, argument("tokens", 3), argument("outputs", 1));
        options.throw_in = NULL_NOWHERE;
        decode(ctx, 1, 1);
        decode(ctx, 1, 1);
        decode(ctx, 2, 2);
    }
    stats();
    if (ctx) {
        host().free(ctx);
    }
    host().model_free(m);
    return 0;
}

// A prompt, tokens, a shift of positions in the cache, tokens; then another scheduler, and tokens.
int shift() {
    llama_model *   m   = model();
    llama_context * ctx = context(m);
    decode(ctx, 1, 1);
    host().shift(ctx);
    decode(ctx, 1, 1);
    host().reserve(ctx);
    decode(ctx, 1, 1);
    stats();
    host().free(ctx);
    host().model_free(m);
    return 0;
}

// The strength of a rule is changed between evaluations of one graph.
int strength() {
    llama_model *   m   = model();
    llama_context * ctx = context(m);
    float           now = 0;
    decode(ctx, 1, 1);
    for (float s : { 2.0f, 0.0f, -1.0f }) {
        const int set = EK(ek_set_strength)("push", s);
        const int get = EK(ek_get_strength)("push", &now);
        printf("strength %g: %d, %d, %g\n", s, set, get, now);
        decode(ctx, 1, 1);
    }
    host().free(ctx);
    stats();
    host().model_free(m);
    return 0;
}
