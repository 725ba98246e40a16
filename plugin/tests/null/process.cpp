// The members that build, hand over and evaluate graphs.
#include "model.h"

#include <algorithm>

llm_graph_result * llama_context::process_ubatch(const llama_ubatch & ubatch, llm_graph_type, llama_memory_context_i *, ggml_status & status) {
    null_throw(NULL_UBATCH);
    llm_graph_result * r     = &previous;
    const bool         reuse = r->valid && !null_settings()->no_reuse && r->n_tokens == ubatch.n_tokens && r->n_outputs == ubatch.n_outputs;
    if (!reuse) {
        r->reset();
        ggml_backend_sched_reset(sched.raw);
        null_build(model, *r, ubatch.n_tokens, ubatch.n_outputs);
        if (!ggml_backend_sched_alloc_graph(sched.raw, r->graph)) {
            status = GGML_STATUS_FAILED;
            return nullptr;
        }
        r->valid = true;
    }
    std::vector<int32_t> ids;
    for (uint32_t i = ubatch.n_tokens - ubatch.n_outputs; i < ubatch.n_tokens; i++) {
        ids.push_back(static_cast<int32_t>(i));
    }
    ggml_backend_tensor_set(r->tokens, ubatch.token, 0, ubatch.n_tokens * sizeof(int32_t));
    ggml_backend_tensor_set(r->ids, ids.data(), 0, ids.size() * sizeof(int32_t));
    status = ggml_backend_sched_graph_compute_async(sched.raw, r->graph);
    return r;
}

ggml_cgraph * llama_context::graph_reserve(uint32_t n_tokens, uint32_t, uint32_t n_outputs, const llama_memory_context_i *, bool split_only, size_t * sizes) {
    reserve.reset();
    ggml_backend_sched_reset(sched.raw);
    previous.valid = false;
    null_build(model, reserve, n_tokens, n_outputs);
    if (sizes) {
        ggml_backend_sched_reserve_size(sched.raw, reserve.graph, sizes);
    } else if (split_only) {
        ggml_backend_sched_split_graph(sched.raw, reserve.graph);
    } else if (!ggml_backend_sched_reserve(sched.raw, reserve.graph)) {
        return nullptr;
    }
    return reserve.graph;
}

llama_context::~llama_context() = default;
