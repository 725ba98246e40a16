// The graph of a model: embeddings, blocks that add half of their normed input, logits of the model's width.
#include "model.h"

#include <algorithm>

void llm_graph_result::reset() {
    ggml_free(ctx);
    if (null_settings()->fresh_addresses) {
        // The old block stays until the new one is taken, so that the address differs.
        std::vector<char> fresh(memory.size() == 1 << 17 ? (1 << 17) + 64 : 1 << 17);
        memory.swap(fresh);
    }
    memory.resize(memory.empty() ? 1 << 17 : memory.size());
    // llama.cpp takes as much as it is told that a graph needs; here there is room for any.
    memory.resize(std::max(memory.size(), ggml_graph_overhead_custom(static_cast<size_t>(null_settings()->graph_size), false)));
    ctx   = ggml_init({ memory.size(), memory.data(), true });
    graph = ggml_new_graph_custom(ctx, null_settings()->graph_size, false);
    built = {};
}

bool llm_graph_result::can_reuse(const llm_graph_params & params) {
    null_throw(NULL_REUSE);
    return built.n_tokens == params.n_tokens && built.n_outputs == params.n_outputs;
}

llm_graph_result::~llm_graph_result() { ggml_free(ctx); }

static ggml_tensor * named(ggml_tensor * t, const char * stem, int i) {
    ggml_set_name(t, (std::string(stem) + "-" + std::to_string(i)).c_str());
    return t;
}

// The last tensor of a block, in the shape that the driver asked for.
static ggml_tensor * end(const llm_graph_result & r, ggml_tensor * x, int block) {
    named(x, "l_out", block);
    if (block != 1) {
        return x;
    }
    switch (null_settings()->shape) {
        case NULL_TWICE: return named(ggml_scale(r.ctx, x, 1.0f), "l_out", block);
        case NULL_THREE_DIMS: x->ne[2] = 2; return x;
        case NULL_UNSELECTED: {
            ggml_build_forward_expand(r.graph, x);
            ggml_tensor * other = named(ggml_scale(r.ctx, x, 100.0f), "l_out", block);
            ggml_build_forward_expand(r.graph, other);
            other->flags &= ~GGML_TENSOR_FLAG_COMPUTE;
            return x;
        }
        default: return x;
    }
}

void null_build(const llama_model & model, llm_graph_result & r, uint32_t n_tokens, uint32_t n_outputs) {
    const int shape = null_settings()->shape;
    r.built         = { n_tokens, n_outputs };
    r.keys          = nullptr;
    r.tokens        = ggml_new_tensor_1d(r.ctx, GGML_TYPE_I32, n_tokens);
    r.ids           = ggml_new_tensor_1d(r.ctx, GGML_TYPE_I32, n_outputs);
    ggml_set_input(ggml_set_name(r.tokens, shape == NULL_NO_INPUT ? "somewhere_else" : "inp_tokens"));
    ggml_set_input(ggml_set_name(r.ids, "out_ids"));
    ggml_tensor * x = ggml_set_name(ggml_get_rows(r.ctx, model.embeddings, r.tokens), "embd");
    for (int i = 0; i < model.blocks; i++) {
        ggml_tensor * norm = named(ggml_mul(r.ctx, x, model.norms[i]), "attn_norm", i);
        if (i == model.blocks - 1) {
            norm = named(ggml_get_rows(r.ctx, norm, r.ids), "attn_norm_out", i);
            x    = named(ggml_get_rows(r.ctx, x, r.ids), "inp_out", i);
        }
        x = end(r, ggml_add(r.ctx, named(ggml_scale(r.ctx, norm, 0.5f), "ffn_out", i), x), i);
        r.keys = i == 1 && i < model.blocks - 1 ? x : r.keys;
    }
    r.logits = ggml_scale(r.ctx, x, 1.0f);
    ggml_set_output(ggml_set_name(r.logits, shape == NULL_NO_LOGITS ? "something" : "result_output"));
    ggml_build_forward_expand(r.graph, r.logits);
}
