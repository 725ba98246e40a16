/* For programs that offer no control vectors: preloaded, gives every context llama.cpp's own adapter as soon as it is
 * made. The other side of a comparison, nothing of evenkeel.
 *
 * NATIVE_VECTOR: a file of F32, [layer 1 .. n - 1][n_embd]. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct llama_context;
struct llama_model;

/* Larger than llama_context_params of any version: passed on by value, with whatever lies behind it on the stack. */
struct params {
    char bytes[512];
};

static struct {
    struct llama_context * (*init_from_model)(struct llama_model *, struct params);
    int32_t (*n_embd)(const struct llama_model *);
    int32_t (*n_layer)(const struct llama_model *);
    int32_t (*set_adapter_cvec)(struct llama_context *, const float *, size_t, int32_t, int32_t, int32_t);
} real;

_Noreturn static void fail(const char * what) {
    fprintf(stderr, "native: %s\n", what);
    abort();
}

/* The object that defines llama.cpp: not this one, and not in the global scope when the program loaded it locally. */
static int look(struct dl_phdr_info * info, size_t size, void * data) {
    (void) size;
    (void) data;
    void * object = info->dlpi_name[0] ? dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    void * found  = object ? dlsym(object, "llama_set_adapter_cvec") : NULL;
    if (!found) {
        return 0;
    }
    *(void **) &real.set_adapter_cvec = found;
    *(void **) &real.init_from_model  = dlsym(object, "llama_init_from_model");
    *(void **) &real.n_embd           = dlsym(object, "llama_model_n_embd");
    *(void **) &real.n_layer          = dlsym(object, "llama_model_n_layer");
    return 1;
}

static void find(void) {
    dl_iterate_phdr(look, NULL);
    if (!real.init_from_model || !real.n_embd || !real.n_layer) {
        fail("a function of llama.cpp is missing");
    }
}

static void apply(struct llama_context * context, const struct llama_model * model) {
    const char * path = getenv("NATIVE_VECTOR");
    FILE * file = path ? fopen(path, "rb") : NULL;
    if (!file) {
        fail("NATIVE_VECTOR cannot be read");
    }
    int32_t width = real.n_embd(model), layers = real.n_layer(model);
    size_t  length = (size_t) (layers - 1) * (size_t) width;
    float * values = malloc(length * sizeof(float));
    if (!values || fread(values, sizeof(float), length, file) != length || fgetc(file) != EOF) {
        fail("NATIVE_VECTOR does not fit the model");
    }
    fclose(file);
    if (real.set_adapter_cvec(context, values, length, width, 1, layers) != 0) {
        fail("llama_set_adapter_cvec refused the vector");
    }
    fprintf(stderr, "native: applied\n");
    free(values);
}

struct llama_context * llama_init_from_model(struct llama_model * model, struct params params) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find);
    struct llama_context * context = real.init_from_model(model, params);
    if (context) {
        apply(context, model);
    }
    return context;
}
