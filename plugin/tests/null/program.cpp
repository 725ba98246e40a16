// What the program does. Arguments of 32 bits come with rubbish in the upper halves of their registers, as the ABI allows.
#include "program.h"
#include "model.h"

extern "C" {
bool    wide_rm(llama_memory_i *, int64_t, int64_t, int64_t) __asm__("llama_memory_seq_rm");
void    wide_cp(llama_memory_i *, int64_t, int64_t, int64_t, int64_t) __asm__("llama_memory_seq_cp");
void    wide_keep(llama_memory_i *, int64_t) __asm__("llama_memory_seq_keep");
void    wide_add(llama_memory_i *, int64_t, int64_t, int64_t, int64_t) __asm__("llama_memory_seq_add");
void    wide_div(llama_memory_i *, int64_t, int64_t, int64_t, int64_t) __asm__("llama_memory_seq_div");
int32_t wide_pos_min(llama_memory_i *, int64_t) __asm__("llama_memory_seq_pos_min");
size_t  wide_size(llama_context *, int64_t, uint64_t) __asm__("llama_state_seq_get_size_ext");
size_t  wide_get(llama_context *, uint8_t *, size_t, int64_t, uint64_t) __asm__("llama_state_seq_get_data_ext");
size_t  wide_set(llama_context *, const uint8_t *, size_t, int64_t, uint64_t) __asm__("llama_state_seq_set_data_ext");
size_t  wide_save(llama_context *, const char *, int64_t, const int32_t *, size_t) __asm__("llama_state_seq_save_file");
size_t  wide_load(llama_context *, const char *, int64_t, int32_t *, size_t, size_t *) __asm__("llama_state_seq_load_file");
bool    wide_set_sampler(llama_context *, int64_t, llama_sampler *) __asm__("llama_set_sampler");
}

static int64_t wide(int32_t value) { return static_cast<int64_t>(0x5eed000000000000 | static_cast<uint32_t>(value)); }

static llama_batch_ext extended(const null_row * rows, int n_rows) {
    llama_batch_ext batch;
    for (const null_row * row = rows; row < rows + n_rows; row++) {
        batch.rows.push_back({ row->token, row->pos, { row->seqs, row->seqs + row->n_seqs }, row->output != 0 });
    }
    return batch;
}

extern "C" {
int null_decode(llama_context * ctx, int n_tokens, int n_outputs) {
    if (ctx->memory.end(0) + n_tokens > static_cast<int>(ctx->params.n_ctx)) {
        llama_memory_clear(llama_get_memory(ctx), true);
    }
    std::vector<int32_t> tokens;
    std::vector<int8_t>  logits;
    for (int i = 0; i < n_tokens; i++) {
        tokens.push_back(1 + i % 7);
        logits.push_back(i >= n_tokens - n_outputs);
    }
    return llama_decode(ctx, { n_tokens, tokens.data(), nullptr, nullptr, nullptr, nullptr, logits.data() });
}

int null_feed(llama_context * ctx, const null_row * rows, int n_rows, int ext) {
    if (ext) {
        return ctx->decode(extended(rows, n_rows));
    }
    std::vector<int32_t>   token, pos, n_seq_id;
    std::vector<int32_t *> seq_id;
    std::vector<int8_t>    logits;
    for (const null_row * row = rows; row < rows + n_rows; row++) {
        token.push_back(row->token);
        pos.push_back(row->pos);
        n_seq_id.push_back(row->n_seqs);
        seq_id.push_back(const_cast<int32_t *>(row->seqs));
        logits.push_back(row->output != 0);
    }
    return llama_decode(ctx, { n_rows, token.data(), nullptr, pos.data(), n_seq_id.data(), seq_id.data(), logits.data() });
}

int null_memory(llama_context * ctx, int what, const int32_t * a) {
    llama_memory_i * memory = llama_get_memory(ctx);
    switch (what) {
        case NULL_CLEAR: llama_memory_clear(memory, true); return 0;
        case NULL_RM: return wide_rm(memory, wide(a[0]), wide(a[1]), wide(a[2]));
        case NULL_CP: wide_cp(memory, wide(a[0]), wide(a[1]), wide(a[2]), wide(a[3])); return 0;
        case NULL_KEEP: wide_keep(memory, wide(a[0])); return 0;
        case NULL_ADD: wide_add(memory, wide(a[0]), wide(a[1]), wide(a[2]), wide(a[3])); return 0;
        case NULL_DIV: wide_div(memory, wide(a[0]), wide(a[1]), wide(a[2]), wide(a[3])); return 0;
        case NULL_POS_MIN: return wide_pos_min(memory, wide(a[0]));
        case NULL_POS_MAX: return llama_memory_seq_pos_max(memory, a[0]);
        default: null_abort("no such operation on cells");
    }
}

void null_lose(llama_context * ctx, int32_t seq, int32_t p0, int32_t p1) { ctx->memory.remove(seq, p0, p1); }

int null_cell_at(const llama_context * ctx, int32_t seq, int32_t pos, int32_t * token, float * key) {
    const auto found = ctx->memory.seqs.find(seq);
    if (found == ctx->memory.seqs.end() || !found->second.count(pos)) {
        return false;
    }
    *token = found->second.at(pos).token;
    *key   = found->second.at(pos).key;
    return true;
}

size_t null_state(llama_context * ctx, int what, int32_t seq, uint8_t * data, size_t size, const char * path, uint32_t flags) {
    const uint64_t wide_flags = static_cast<uint64_t>(wide(static_cast<int32_t>(flags)));
    const int32_t  tokens[]   = { 7, 7, 7 };
    int32_t        room[8];
    size_t         count = 0;
    switch (what) {
        case NULL_SIZE: return seq < 0 ? llama_state_get_size(ctx) : wide_size(ctx, wide(seq), wide_flags);
        case NULL_GET: return seq < 0 ? llama_state_get_data(ctx, data, size) : wide_get(ctx, data, size, wide(seq), wide_flags);
        case NULL_SET: return seq < 0 ? llama_state_set_data(ctx, data, size) : wide_set(ctx, data, size, wide(seq), wide_flags);
        case NULL_SAVE: return seq < 0 ? llama_state_save_file(ctx, path, tokens, 3) : wide_save(ctx, path, wide(seq), tokens, 3);
        case NULL_LOAD: return seq < 0 ? llama_state_load_file(ctx, path, room, 8, &count) : wide_load(ctx, path, wide(seq), room, 8, &count);
        // As llama-server does it first.
        case NULL_COUNT: return wide_load(ctx, path, wide(seq), nullptr, 0, &count);
        default: null_abort("no such operation on states");
    }
}

void null_sampler(llama_context * ctx, int what, int32_t seq, const char ** breakers, size_t n_breakers) {
    static int          something;
    llama_sampler *     made  = nullptr;
    llama_sampler *     clone = nullptr;
    const llama_vocab * vocab = reinterpret_cast<const llama_vocab *>(&ctx->model);
    switch (what) {
        case NULL_CHAIN: made = llama_sampler_chain_init({ false }); break;
        case NULL_DRY: made = llama_sampler_init_dry(vocab, 0.8f, 1.75f, 2, -1, breakers, n_breakers); break;
        case NULL_SET_SAMPLER: wide_set_sampler(ctx, wide(seq), reinterpret_cast<llama_sampler *>(&something)); break;
        case NULL_RELEASE: wide_set_sampler(ctx, wide(seq), nullptr); break;
        case NULL_CLONE:
            made  = llama_sampler_init_dry(vocab, 0.8f, 1.75f, 2, -1, breakers, n_breakers);
            clone = llama_sampler_clone(made);
            break;
        case NULL_LORA: {
            void * adapter = &something;
            float  scale   = 0.5f;
            llama_set_adapters_lora(ctx, &adapter, 1, &scale);
            break;
        }
        case NULL_CVEC: {
            const float values[] = { 1, 2 };
            llama_set_adapter_cvec(ctx, values, 2, 2, 1, 1);
            llama_set_adapter_cvec(ctx, nullptr, 0, 0, 0, 0);
            break;
        }
        default: null_abort("no such part of a sampler");
    }
    llama_sampler_free(made);
    llama_sampler_free(clone);
}
}
