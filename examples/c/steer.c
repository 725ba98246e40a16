/*
 * Steers a model from inside a program: loads a stock libllama and libevenkeel.so, runs a prompt under a profile, changes
 * the strength of one of its rules, runs the prompt again, and prints what the library did.
 *
 *   cc -std=c11 -I include examples/c/steer.c examples/c/llama_api.c -ldl -o steer
 *   ./steer libllama.so libevenkeel.so model.gguf profile.toml RULE STRENGTH "Once upon a time"
 *
 * RULE names a rule with `adjustable = true`.
 */
#include "evenkeel.h"
#include "llama_api.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PROMPT = 256, N_GENERATE = 24 };

static struct {
    ek_status (*negotiate)(uint32_t wanted, uint32_t * granted);
    ek_status (*install)(void);
    ek_status (*load_profile)(const char * path);
    ek_status (*set_strength)(const char * rule, float strength);
    ek_status (*stats_json)(char * buffer, size_t size, size_t * needed);
    const char * (*last_error)(void);
} ek;

static void take(void * library, const char * name, void * function) {
    void * address = dlsym(library, name);
    if (!address) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    memcpy(function, &address, sizeof(address));
}

static void check(const char * call, ek_status status) {
    if (status != EK_OK) {
        fprintf(stderr, "%s: %d\n%s\n", call, (int) status, ek.last_error());
        exit(1);
    }
}

/* The library is loaded after libllama, and never closed: the host's calls lead into it. */
static void open_evenkeel(const char * path) {
    void * library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    take(library, "ek_negotiate", &ek.negotiate);
    take(library, "ek_install", &ek.install);
    take(library, "ek_load_profile", &ek.load_profile);
    take(library, "ek_set_strength", &ek.set_strength);
    take(library, "ek_stats_json", &ek.stats_json);
    take(library, "ek_last_error", &ek.last_error);
    uint32_t version;
    check("ek_negotiate", ek.negotiate(EK_ABI_VERSION, &version));
    check("ek_install", ek.install());
}

static llama_token best(const float * logits, int32_t n) {
    int32_t top = 0;
    for (int32_t i = 1; i < n; i++) {
        top = logits[i] > logits[top] ? i : top;
    }
    return top;
}

/* The prompt and what the model makes of it, one likeliest token after the other. */
static void generate(const struct llama_api * llama, const struct llama_vocab * vocab, struct llama_context * ctx,
                     const char * prompt) {
    llama_token tokens[MAX_PROMPT];
    int32_t     n = llama->tokenize(vocab, prompt, (int32_t) strlen(prompt), tokens, MAX_PROMPT, true, false);
    if (n <= 0) {
        fprintf(stderr, "the prompt has no tokens, or more than %d\n", MAX_PROMPT);
        exit(1);
    }
    printf("%s", prompt);
    for (int i = 0; i < N_GENERATE; i++) {
        if (llama->decode(ctx, llama->batch_get_one(tokens, n)) != 0) {
            fprintf(stderr, "llama_decode failed\n");
            exit(1);
        }
        tokens[0] = best(llama->logits(ctx, -1), llama->n_tokens(vocab));
        n         = 1;
        if (llama->is_eog(vocab, tokens[0])) {
            break;
        }
        char    piece[64];
        int32_t size = llama->to_piece(vocab, tokens[0], piece, sizeof(piece), 0, false);
        printf("%.*s", size > 0 ? (int) size : 0, piece);
    }
    printf("\n");
}

/* A context is bound to the profile that is in force when it is made. */
static struct llama_context * make(const struct llama_api * llama, struct llama_model * model) {
    struct llama_context * ctx = llama->init(model, llama->context_default_params());
    if (!ctx) {
        fprintf(stderr, "llama_init_from_model failed\n");
        exit(1);
    }
    return ctx;
}

static void print_stats(void) {
    size_t needed = 0;
    check("ek_stats_json", ek.stats_json(NULL, 0, &needed));
    /* Counters may gain a digit until the second call. */
    size_t size = needed + 64;
    char * text = malloc(size);
    check("ek_stats_json", text ? ek.stats_json(text, size, &needed) : EK_E_SPACE);
    printf("%s\n", text);
    free(text);
}

int main(int argc, char ** argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: %s LIBLLAMA LIBEVENKEEL MODEL PROFILE RULE STRENGTH PROMPT\n", argv[0]);
        return 2;
    }
    struct llama_api llama = llama_open(argv[1]);
    open_evenkeel(argv[2]);

    struct llama_model * model = llama.model_load(argv[3], llama.model_default_params());
    if (!model) {
        fprintf(stderr, "%s is no model\n", argv[3]);
        return 1;
    }
    const struct llama_vocab * vocab = llama.get_vocab(model);

    check("ek_load_profile", ek.load_profile(argv[4]));
    struct llama_context * ctx = make(&llama, model);
    generate(&llama, vocab, ctx, argv[7]);
    llama.free(ctx);

    /* A new context, so that nothing of the first run is in its key-value cache. */
    ctx = make(&llama, model);
    check("ek_set_strength", ek.set_strength(argv[5], strtof(argv[6], NULL)));
    generate(&llama, vocab, ctx, argv[7]);
    print_stats();
    llama.free(ctx);
    llama.model_free(model);
    return 0;
}
