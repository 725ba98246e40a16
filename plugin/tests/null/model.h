// What a model is, and the C++ classes whose members the plug-in hooks.
#pragma once

#include "memory.h"
#include "options.h"

#include <string>
#include <vector>

enum llm_graph_type { LLM_GRAPH_TYPE_DEFAULT };
struct llama_memory_context_i;

// The members that have been the same for long, in llama.cpp's order.
struct llama_ubatch {
    uint32_t   b_equal_seqs, n_tokens, n_seq_tokens, n_seqs, n_seqs_unq, n_pos;
    int32_t *  token;
    float *    embd;
    int32_t *  pos;
    int32_t *  n_seq_id;
    int32_t ** seq_id;
    int32_t *  seq_id_unq;
    int32_t *  seq_idx;
    int8_t *   output;
};

// A row of a batch.
struct null_batch_row {
    int32_t              token, pos;
    std::vector<int32_t> seqs;
    bool                 output;
};

// A batch that is split into micro-batches; of those, only the number of rows counts here.
struct llama_batch_allocr {
    llama_batch_allocr(const std::vector<null_batch_row> & rows);
    llama_ubatch        split_simple(uint32_t n_ubatch);
    llama_ubatch        split_equal(uint32_t n_ubatch, bool sequential, uint32_t n_keep_tail);
    const llama_batch & get_batch() const;
    uint32_t            get_n_used() const;

  private:
    std::vector<int32_t>   token, pos, n_seq_id;
    std::vector<int32_t *> seq_id;
    std::vector<int8_t>    output;
    llama_batch            batch;
    uint32_t               used = 0;
};

struct llama_batch_ext {
    std::vector<null_batch_row> rows;
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

struct llm_graph_params {
    uint32_t n_tokens, n_outputs;
};

// One graph and the memory of its metadata, which the next graph is built in as well.
struct llm_graph_result {
    std::vector<char> memory;
    ggml_context *    ctx    = nullptr;
    ggml_cgraph *     graph  = nullptr;
    ggml_tensor *     tokens = nullptr;
    ggml_tensor *     ids    = nullptr;
    ggml_tensor *     keys   = nullptr;  // l_out-1, whose first elements stand for the keys and values; NULL if it is the last block
    ggml_tensor *     logits = nullptr;
    llm_graph_params  built  = {};

    void reset();
    bool can_reuse(const llm_graph_params & params);
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
    void          sched_reserve();
    void          shift();
    int           decode(const llama_batch & batch);
    int           decode(const llama_batch_ext & batch);
    int           evaluate(const null_batch_row * rows, uint32_t n_tokens);

    const llama_model &  model;
    llama_context_params params;
    llama_memory_i       memory;
    null_sched           sched;
    llm_graph_result     previous[2];  // without outputs and with some
    llm_graph_result *   active = nullptr;  // whose graph the scheduler has
    llm_graph_result     reserve;
    std::vector<float>   logits;
    std::vector<int>     output_rows;  // by row of the batch: which row of the logits it has, or -1
};

// Builds the model's graph.
void null_build(const llama_model & model, llm_graph_result & result, uint32_t n_tokens, uint32_t n_outputs);
