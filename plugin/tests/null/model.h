// What a model is, and the C++ class whose members the plug-in hooks.
#pragma once

#include "llama.h"
#include "options.h"

#include <string>
#include <vector>

enum llm_graph_type { LLM_GRAPH_TYPE_DEFAULT };
struct llama_memory_context_i;

struct llama_ubatch {
    uint32_t        n_tokens;
    uint32_t        n_outputs;
    const int32_t * token;
};

struct llama_model {
    std::string                arch;
    int                        width;
    int                        blocks;
    ggml_context *             ctx;
    ggml_backend_buffer *      buffer;
    ggml_tensor *              embeddings;
    std::vector<ggml_tensor *> norms;
};

// One graph and the memory of its metadata, which the next graph is built in as well.
struct llm_graph_result {
    std::vector<char> memory;
    ggml_context *    ctx    = nullptr;
    ggml_cgraph *     graph  = nullptr;
    ggml_tensor *     tokens = nullptr;
    ggml_tensor *     ids    = nullptr;
    ggml_tensor *     logits = nullptr;
    uint32_t          n_tokens = 0, n_outputs = 0;
    bool              valid    = false;

    void reset();
    ~llm_graph_result();
};

struct null_sched {
    ggml_backend_sched * raw = nullptr;
    ~null_sched() { ggml_backend_sched_free(raw); }
};

struct llama_context {
    llama_context(const llama_model & model, llama_context_params params);
    ~llama_context();
    llm_graph_result * process_ubatch(const llama_ubatch & ubatch, llm_graph_type type, llama_memory_context_i * memory, ggml_status & status);
    ggml_cgraph * graph_reserve(uint32_t n_tokens, uint32_t n_seqs, uint32_t n_outputs, const llama_memory_context_i * memory, bool split_only, size_t * sizes);
    void               sched_reserve();
    void               shift();
    int                decode(const int32_t * tokens, uint32_t n_tokens, uint32_t n_outputs);

    const llama_model &  model;
    llama_context_params params;
    null_sched           sched;
    llm_graph_result     previous;
    llm_graph_result     reserve;
    std::vector<float>   logits;
};

// Builds the model's graph.
void null_build(const llama_model & model, llm_graph_result & result, uint32_t n_tokens, uint32_t n_outputs);
