/*
 * The functions of llama.h that steer.c calls, as pointers, because the program opens its libllama at run time.
 *
 * Compiled with -I to llama.cpp's include folders, llama.h says what they are. Without one, this file declares as much as
 * is needed: three structs are passed by value and not looked into, so they only have to be large enough.
 */
#ifndef LLAMA_API_H
#define LLAMA_API_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__has_include)
#if __has_include("llama.h")
#include "llama.h"
#define HAVE_LLAMA_H 1
#endif
#endif

#ifndef HAVE_LLAMA_H
typedef int32_t llama_token;

struct llama_model;
struct llama_context;
struct llama_vocab;

struct llama_model_params {
    uint64_t opaque[64];
};

struct llama_context_params {
    uint64_t opaque[64];
};

struct llama_batch {
    uint64_t opaque[7];
};
#endif

struct llama_api {
    void (*backend_init)(void);
    struct llama_model_params (*model_default_params)(void);
    struct llama_model * (*model_load)(const char * path, struct llama_model_params params);
    void (*model_free)(struct llama_model * model);
    const struct llama_vocab * (*get_vocab)(const struct llama_model * model);
    int32_t (*n_tokens)(const struct llama_vocab * vocab);
    bool (*is_eog)(const struct llama_vocab * vocab, llama_token token);
    int32_t (*tokenize)(const struct llama_vocab * vocab, const char * text, int32_t size, llama_token * tokens,
                        int32_t room, bool special, bool parse_special);
    int32_t (*to_piece)(const struct llama_vocab * vocab, llama_token token, char * text, int32_t size, int32_t lstrip,
                        bool special);
    struct llama_context_params (*context_default_params)(void);
    struct llama_context * (*init)(struct llama_model * model, struct llama_context_params params);
    void (*free)(struct llama_context * ctx);
    struct llama_batch (*batch_get_one)(llama_token * tokens, int32_t n);
    int32_t (*decode)(struct llama_context * ctx, struct llama_batch batch);
    float * (*logits)(struct llama_context * ctx, int32_t i);
};

/* Opens the library and finds them all; ends the program with a message if one is missing. */
struct llama_api llama_open(const char * path);

#endif
