#include <stdio.h>
#include <stdlib.h>

#include "gguf.h"
#include "host.h"

void apply_vector(struct llama_context * context, const struct llama_model * model, const struct options * options) {
    struct ggml_context * tensors = NULL;
    struct gguf_context * file =
        gguf_init_from_file(options->vector, (struct gguf_init_params) {.no_alloc = false, .ctx = &tensors});
    if (!file) {
        fail("cannot read the control vector", options->vector);
    }
    int layers = llama_model_n_layer(model);
    int width  = llama_model_n_embd(model);
    int first  = options->first ? options->first : 1;
    int last   = options->last ? options->last : layers;
    /* llama.cpp wants [layer 1 .. n - 1][n_embd]; a layer without a direction gets zeros. */
    float * data = calloc((size_t) layers * width, sizeof(float));
    for (int layer = 1; layer < layers; layer++) {
        char name[32];
        snprintf(name, sizeof(name), "direction.%d", layer);
        const struct ggml_tensor * direction = ggml_get_tensor(tensors, name);
        if (!direction) {
            continue;
        }
        if (direction->type != GGML_TYPE_F32 || ggml_nelements(direction) != width) {
            fail("a direction does not fit the model", name);
        }
        for (int i = 0; i < width; i++) {
            data[(size_t) (layer - 1) * width + i] = ((const float *) direction->data)[i] * options->strength;
        }
    }
    if (llama_set_adapter_cvec(context, data, (size_t) (layers - 1) * width, width, first, last) != 0) {
        fail("llama_set_adapter_cvec refused the vector", options->vector);
    }
    free(data);
    gguf_free(file);
    ggml_free(tensors);
}
