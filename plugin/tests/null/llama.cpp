// The C functions over contexts.
#include "model.h"

#include <cstdio>
#include <cstring>
#include <stdexcept>

static null_options settings = { {}, {}, { 256 }, {}, {}, {}, {}, {}, {}, {}, {}, {} };
static null_counts  living;

void null_throw(null_place place) {
    if (settings.throw_in == place) {
        throw std::runtime_error("thrown by the host");
    }
}

extern "C" {
null_options * null_settings() { return &settings; }
null_counts *  null_living() { return &living; }

const char * llama_version() { return "0.5.0"; }

llama_context_params llama_context_default_params() {
    llama_context_params p;
    memset(static_cast<void *>(&p), 0, sizeof(p));
    p.n_ctx             = 512;
    p.n_batch           = 2048;
    p.n_ubatch          = 512;
    p.n_seq_max         = 1;
    p.n_threads         = 4;
    p.n_threads_batch   = 4;
    p.rope_scaling_type = p.pooling_type = p.attention_type = p.flash_attn_type = -1;
    p.yarn_ext_factor = p.yarn_attn_factor = p.yarn_beta_fast = p.yarn_beta_slow = p.defrag_thold = -1.0f;
    p.type_k = p.type_v = GGML_TYPE_F16;
    p.offload_kqv = p.no_perf = p.op_offload = p.swa_full = true;
    return p;
}

llama_context * llama_init_from_model(llama_model * model, llama_context_params params) {
    try {
        return new llama_context(*model, params);
    } catch (const std::exception & e) {
        printf("host: no context: %s\n", e.what());
        return nullptr;
    }
}

void llama_free(llama_context * ctx) { delete ctx; }

const llama_model * llama_get_model(const llama_context * ctx) { return &ctx->model; }

llama_memory_i * llama_get_memory(const llama_context * ctx) { return const_cast<llama_memory_i *>(&ctx->memory); }
uint32_t         llama_n_batch(const llama_context * ctx) { return ctx->params.n_batch; }
uint32_t         llama_n_seq_max(const llama_context * ctx) { return ctx->params.n_seq_max; }

int32_t llama_decode(llama_context * ctx, llama_batch batch) { return ctx->decode(batch); }

const float * llama_get_logits_ith(llama_context * ctx, int32_t i) {
    const int rows = static_cast<int>(ctx->logits.size()) / ctx->model.width;
    const int row  = i < 0 ? rows + i : ctx->output_rows.at(static_cast<size_t>(i));
    return row < 0 || row >= rows ? nullptr : ctx->logits.data() + row * ctx->model.width;
}

void null_shift(llama_context * ctx) { ctx->shift(); }
void null_reserve(llama_context * ctx) { ctx->sched_reserve(); }
}
