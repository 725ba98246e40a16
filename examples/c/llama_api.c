#include "llama_api.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ISO C has no cast from an object's address to a function's: POSIX has, by copying. */
static void take(void * library, const char * name, void * function) {
    void * address = dlsym(library, name);
    if (!address) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    memcpy(function, &address, sizeof(address));
}

/* Builds whose devices are libraries of their own (libggml-cpu.so, ...) find them beside libllama. Others have them. */
static void load_devices(void * library, const char * path) {
    void * address = dlsym(library, "ggml_backend_load_all_from_path");
    if (!address) {
        return;
    }
    void (*load_all)(const char * folder);
    memcpy(&load_all, &address, sizeof(address));
    char         folder[4096];
    const char * slash = strrchr(path, '/');
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int) (slash - path) : 1, slash ? path : ".");
    load_all(folder);
}

struct llama_api llama_open(const char * path) {
    struct llama_api api;
    void *           library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    take(library, "llama_backend_init", &api.backend_init);
    take(library, "llama_model_default_params", &api.model_default_params);
    take(library, "llama_model_load_from_file", &api.model_load);
    take(library, "llama_model_free", &api.model_free);
    take(library, "llama_model_get_vocab", &api.get_vocab);
    take(library, "llama_vocab_n_tokens", &api.n_tokens);
    take(library, "llama_vocab_is_eog", &api.is_eog);
    take(library, "llama_tokenize", &api.tokenize);
    take(library, "llama_token_to_piece", &api.to_piece);
    take(library, "llama_context_default_params", &api.context_default_params);
    take(library, "llama_init_from_model", &api.init);
    take(library, "llama_free", &api.free);
    take(library, "llama_batch_get_one", &api.batch_get_one);
    take(library, "llama_decode", &api.decode);
    take(library, "llama_get_logits_ith", &api.logits);
    load_devices(library, path);
    api.backend_init();
    return api;
}
