/* For programs that offer no control vectors: preloaded, gives every context llama.cpp's own adapter as soon as the
 * program asks for the context's length. The other side of a comparison, nothing of evenkeel.
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

static struct {
    uint32_t (*n_ctx)(const struct llama_context *);
    const struct llama_model * (*get_model)(const struct llama_context *);
    int32_t (*n_embd)(const struct llama_model *);
    int32_t (*n_layer)(const struct llama_model *);
    int32_t (*set_adapter_cvec)(struct llama_context *, const float *, size_t, int32_t, int32_t, int32_t);
} real;

_Noreturn static void fail(const char * what) {
    fprintf(stderr, "native: %s\n", what);
    abort();
}

/* The object that defines llama_n_ctx: not this one, and not in the global scope when the program loaded it locally. */
static int look(struct dl_phdr_info * info, size_t size, void * data) {
    (void) size;
    (void) data;
    void * object = info->dlpi_name[0] ? dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    void * found  = object ? dlsym(object, "llama_set_adapter_cvec") : NULL;
    if (!found) {
        return 0;
    }
    *(void **) &real.set_adapter_cvec = found;
    *(void **) &real.n_ctx            = dlsym(object, "llama_n_ctx");
    *(void **) &real.get_model        = dlsym(object, "llama_get_model");
    *(void **) &real.n_embd           = dlsym(object, "llama_model_n_embd");
    *(void **) &real.n_layer          = dlsym(object, "llama_model_n_layer");
    return 1;
}

static void find(void) {
    dl_iterate_phdr(look, NULL);
    if (!real.n_ctx || !real.get_model || !real.n_embd || !real.n_layer) {
        fail("a function of llama.cpp is missing");
    }
}

static void apply(struct llama_context * context) {
    const char * path = getenv("NATIVE_VECTOR");
    FILE * file = path ? fopen(path, "rb") : NULL;
    if (!file) {
        fail("NATIVE_VECTOR cannot be read");
    }
    const struct llama_model * model = real.get_model(context);
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

uint32_t llama_n_ctx(const struct llama_context * context) {
    static pthread_once_t  once = PTHREAD_ONCE_INIT;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static const void *    last;
    pthread_once(&once, find);
    pthread_mutex_lock(&lock);
    if (last != context) {
        last = context;
        apply((struct llama_context *) context);
    }
    pthread_mutex_unlock(&lock);
    return real.n_ctx(context);
}
