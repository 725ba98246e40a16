// Making a context, and what calls the members of process.cpp (from another file, so that no compiler inlines them).
#include "model.h"

#include <stdexcept>

llama_context::llama_context(const llama_model & model, llama_context_params params) : model(model), params(params) {
    sched_reserve();
    null_throw(NULL_CTOR);
}

void llama_context::sched_reserve() {
    null_sched old;
    old.raw   = sched.raw;
    sched.raw = ggml_backend_sched_new(nullptr, nullptr, 1, static_cast<size_t>(null_settings()->graph_size), false, false);
    graph_reserve(8, 1, 1, nullptr, true, nullptr);
    size_t sizes[1];
    size_t * measure = null_settings()->measure ? sizes : nullptr;
    for (uint32_t n_tokens : { 8u, 1u }) {
        if (!graph_reserve(n_tokens, 1, 1, nullptr, false, measure)) {
            throw std::runtime_error("compute buffers could not be allocated");
        }
    }
}

void llama_context::shift() {
    reserve.reset();
    active = nullptr;
    ggml_backend_sched_reset(sched.raw);
    ggml_tensor * shifted = ggml_new_tensor_1d(reserve.ctx, GGML_TYPE_F32, model.width);
    ggml_set_name(shifted, "cache_k_l0");
    ggml_tensor * rope = ggml_set_name(ggml_scale(reserve.ctx, shifted, -1.0f), "k_shifted");
    ggml_build_forward_expand(reserve.graph, rope);
    ggml_backend_sched_alloc_graph(sched.raw, reserve.graph);
    ggml_backend_sched_graph_compute_async(sched.raw, reserve.graph);
    graph_reserve(8, 1, 1, nullptr, false, nullptr);
}
