// The members that build, hand over and evaluate graphs.
#include "model.h"

#include <cstdio>

llm_graph_result * llama_context::process_ubatch(const llama_ubatch & ubatch, llm_graph_type, llama_memory_context_i *, ggml_status & status) {
    null_throw(NULL_UBATCH);
    std::vector<int32_t> ids;
    for (uint32_t i = 0; i < ubatch.n_tokens; i++) {
        if (ubatch.output[i]) {
            ids.push_back(static_cast<int32_t>(i));
        }
    }
    const llm_graph_params params = { ubatch.n_tokens, static_cast<uint32_t>(ids.size()) };
    llm_graph_result *     r      = &previous[!ids.empty()];
    const bool             reuse  = !null_settings()->no_reuse && active == r && r->can_reuse(params);
    if (null_settings()->trace) {
        printf("graph: %s\n", reuse ? "reused" : "built");
    }
    if (!reuse) {
        active = nullptr;
        r->reset();
        ggml_backend_sched_reset(sched.raw);
        null_build(model, *r, params.n_tokens, params.n_outputs);
        if (!ggml_backend_sched_alloc_graph(sched.raw, r->graph)) {
            status = GGML_STATUS_FAILED;
            return nullptr;
        }
        active = r;
    }
    ggml_backend_tensor_set(r->tokens, ubatch.token, 0, ubatch.n_tokens * sizeof(int32_t));
    ggml_backend_tensor_set(r->ids, ids.data(), 0, ids.size() * sizeof(int32_t));
    status = ggml_backend_sched_graph_compute_async(sched.raw, r->graph);
    return r;
}

ggml_cgraph * llama_context::graph_reserve(uint32_t n_tokens, uint32_t, uint32_t n_outputs, const llama_memory_context_i *, bool split_only, size_t * sizes) {
    reserve.reset();
    ggml_backend_sched_reset(sched.raw);
    active = nullptr;
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
