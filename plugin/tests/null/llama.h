// The part of llama.cpp that the null host pretends to be: names, signatures and struct layouts as in llama.cpp 0.5.
#pragma once

#include "ggml.h"

struct llama_context;
struct llama_memory_i;
struct llama_model;
struct llama_sampler;
struct llama_vocab;

struct llama_context_params {
#ifdef NULL_PARAMS_SHIFTED
    uint32_t nobody_knows;
#endif
    uint32_t n_ctx, n_batch, n_ubatch, n_seq_max, n_rs_seq, n_outputs_max, n_outputs_max_per_seq;
    int32_t  n_threads, n_threads_batch;
    uint32_t ctx_type;
    int32_t  rope_scaling_type, pooling_type, attention_type, flash_attn_type;
    float    rope_freq_base, rope_freq_scale, yarn_ext_factor, yarn_attn_factor, yarn_beta_fast, yarn_beta_slow;
    uint32_t yarn_orig_ctx;
    float    defrag_thold;
    void *   cb_eval;
    void *   cb_eval_user_data;
    uint32_t type_k, type_v;
    void *   abort_callback;
    void *   abort_callback_data;
    bool     embeddings, offload_kqv, no_perf, op_offload, swa_full, kv_unified;
    void *   samplers;
    size_t   n_samplers;
    void *   ctx_other;
};

struct llama_model_params {
    void *  devices_and_overrides[2];
    int32_t n_gpu_layers, split_mode, load_mode, lazy_mode, main_gpu;
    void *  pointers[4];
    bool    flags[6];
};

struct llama_sampler_chain_params {
    bool no_perf;
};

struct llama_batch {
    int32_t   n_tokens;
    int32_t * token;
    float *   embd;
    int32_t * pos;
    int32_t * n_seq_id;
    int32_t ** seq_id;
    int8_t *  logits;
};

#if !defined(NULL_PARAMS_SHIFTED)
static_assert(sizeof(llama_context_params) == 160, "as in the bindings");
#endif
static_assert(sizeof(llama_model_params) == 80, "as in the bindings");
static_assert(sizeof(llama_batch) == 56, "as in the bindings");

extern "C" {
llama_context_params llama_context_default_params();
llama_context *      llama_init_from_model(llama_model * model, llama_context_params params);
void                 llama_free(llama_context * ctx);
int32_t              llama_decode(llama_context * ctx, llama_batch batch);
const float *        llama_get_logits_ith(llama_context * ctx, int32_t i);
llama_memory_i *     llama_get_memory(const llama_context * ctx);

void    llama_memory_clear(llama_memory_i * memory, bool data);
bool    llama_memory_seq_rm(llama_memory_i * memory, int32_t seq, int32_t p0, int32_t p1);
void    llama_memory_seq_cp(llama_memory_i * memory, int32_t from, int32_t to, int32_t p0, int32_t p1);
void    llama_memory_seq_keep(llama_memory_i * memory, int32_t seq);
void    llama_memory_seq_add(llama_memory_i * memory, int32_t seq, int32_t p0, int32_t p1, int32_t delta);
void    llama_memory_seq_div(llama_memory_i * memory, int32_t seq, int32_t p0, int32_t p1, int d);
int32_t llama_memory_seq_pos_min(llama_memory_i * memory, int32_t seq);
int32_t llama_memory_seq_pos_max(llama_memory_i * memory, int32_t seq);

size_t llama_state_get_size(llama_context * ctx);
size_t llama_state_get_data(llama_context * ctx, uint8_t * data, size_t size);
size_t llama_state_set_data(llama_context * ctx, const uint8_t * data, size_t size);
bool   llama_state_save_file(llama_context * ctx, const char * path, const int32_t * tokens, size_t n_tokens);
bool   llama_state_load_file(llama_context * ctx, const char * path, int32_t * tokens, size_t capacity, size_t * n_tokens);
size_t llama_state_seq_get_size(llama_context * ctx, int32_t seq);
size_t llama_state_seq_get_data(llama_context * ctx, uint8_t * data, size_t size, int32_t seq);
size_t llama_state_seq_set_data(llama_context * ctx, const uint8_t * data, size_t size, int32_t seq);
size_t llama_state_seq_get_size_ext(llama_context * ctx, int32_t seq, uint32_t flags);
size_t llama_state_seq_get_data_ext(llama_context * ctx, uint8_t * data, size_t size, int32_t seq, uint32_t flags);
size_t llama_state_seq_set_data_ext(llama_context * ctx, const uint8_t * data, size_t size, int32_t seq, uint32_t flags);
size_t llama_state_seq_save_file(llama_context * ctx, const char * path, int32_t seq, const int32_t * tokens, size_t n_tokens);
size_t llama_state_seq_load_file(llama_context * ctx, const char * path, int32_t seq, int32_t * tokens, size_t capacity, size_t * n_tokens);

int32_t llama_set_adapters_lora(llama_context * ctx, void ** adapters, size_t n_adapters, float * scales);
int32_t llama_set_adapter_cvec(llama_context * ctx, const float * data, size_t len, int32_t n_embd, int32_t first, int32_t last);

bool            llama_set_sampler(llama_context * ctx, int32_t seq, llama_sampler * sampler);
llama_sampler * llama_sampler_chain_init(llama_sampler_chain_params params);
llama_sampler * llama_sampler_init_dry(const llama_vocab * vocab, float multiplier, float base, int32_t allowed_length,
                                       int32_t penalty_last_n, const char ** breakers, size_t n_breakers);
llama_sampler * llama_sampler_clone(const llama_sampler * sampler);
void            llama_sampler_free(llama_sampler * sampler);

// A model of an architecture, a width and a number of blocks; null_model_free frees it.
llama_model * null_model(const char * arch, int width, int blocks);
void          null_model_free(llama_model * model);
// What llama.cpp does when positions in the cache shift: a graph of its own, then the reserved one again.
void null_shift(llama_context * ctx);
// What llama.cpp does when a sampler is set: another scheduler, and everything is reserved again.
void null_reserve(llama_context * ctx);
}
