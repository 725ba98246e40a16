// A ggml_context: one block of memory that tensors and graphs are taken from.
#pragma once

#include "ggml.h"

#include <vector>

struct ggml_context {
    bool                       owner;
    size_t                     size;
    size_t                     used = 0;
    char *                     memory;
    std::vector<ggml_tensor *> tensors;

    void * take(size_t bytes);
};

ggml_tensor * null_tensor(ggml_context * ctx, ggml_type type, int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3);
