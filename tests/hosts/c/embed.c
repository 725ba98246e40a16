/* The way in of a program that contains llama.cpp: its functions are handed over, its contexts attached. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "evenkeel.h"
#include "host.h"

static ek_status (*before_decode)(struct llama_context *, const struct llama_batch *);
static ek_status (*attach)(struct llama_context *);
static ek_status (*detach)(struct llama_context *);
static ek_status (*set_strength)(const char *, float);
static const char * (*last_error)(void);

static void * function(void * library, const char * name) {
    void * address = dlsym(library, name);
    if (!address) {
        fail("dlsym", dlerror());
    }
    return address;
}

static void check(const char * what, ek_status status) {
    if (status != EK_OK) {
        fail(what, last_error());
    }
}

static const char * lacking;

/* A device that lacks one operation, as far as the library is told: ggml computes it there all the same. */
static bool supports(ggml_backend_dev_t device, const struct ggml_tensor * op) {
    return strcmp(ggml_op_desc(op), lacking) != 0 && ggml_backend_dev_supports_op(device, op);
}

static void pretend(ek_api * api, const char * lacks) {
    static ek_api_function functions[256];
    lacking = lacks;
    for (uint32_t i = 0; i < api->count; i++) {
        functions[i] = api->functions[i];
        if (strcmp(functions[i].name, "ggml_backend_dev_supports_op") == 0) {
            functions[i].function = (void (*)(void)) supports;
        }
    }
    api->functions = functions;
}

void embed(const char * path, bool exported, const char * lacks) {
    void * library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fail("dlopen", dlerror());
    }
    last_error    = (const char * (*)(void)) function(library, "ek_last_error");
    attach        = (ek_status (*)(struct llama_context *)) function(library, "ek_attach");
    detach        = (ek_status (*)(struct llama_context *)) function(library, "ek_detach");
    before_decode = (ek_status (*)(struct llama_context *, const struct llama_batch *)) function(library, "ek_before_decode");
    set_strength  = (ek_status (*)(const char *, float)) function(library, "ek_set_strength");
    ek_status (*install_api)(const ek_api *) = (ek_status (*)(const ek_api *)) function(library, "ek_install_api");
    ek_api api;
    EK_API_FILL(&api);
    if (lacks) {
        pretend(&api, lacks);
    }
    check("ek_install_api", install_api(exported ? NULL : &api));
}

void embed_context(struct llama_context * context) {
    if (attach) {
        check("ek_attach", attach(context));
    }
}

void embed_decode(struct llama_context * context, const struct llama_batch * batch) {
    if (before_decode) {
        check("ek_before_decode", before_decode(context, batch));
    }
}

void embed_turn(float strength) {
    if (set_strength) {
        check("ek_set_strength", set_strength("rule-0", strength));
    }
}

void embed_end(struct llama_context * context) {
    if (detach) {
        check("ek_detach", detach(context));
    }
}
