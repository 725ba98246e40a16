// Models, and the little of a vocabulary that the C example needs: one token per letter a to g, 0 for the rest.
#include "model.h"

#include <cstdio>
#include <cstring>

extern "C" {
llama_model * null_model(const char * arch, int width, int blocks) {
    const size_t n_tensors = 1 + static_cast<size_t>(blocks);
    ggml_context * ctx     = ggml_init({ n_tensors * (ggml_tensor_overhead() + 16), nullptr, true });
    auto * model = new llama_model{ arch, width, blocks, ctx, nullptr, ggml_new_tensor_2d(ctx, GGML_TYPE_F32, width, 8), {} };
    ggml_set_name(model->embeddings, "token_embd.weight");
    for (int i = 0; i < blocks; i++) {
        model->norms.push_back(ggml_new_tensor_1d(ctx, GGML_TYPE_F32, width));
        ggml_set_name(model->norms.back(), ("blk." + std::to_string(i) + ".attn_norm.weight").c_str());
    }
    std::vector<ggml_tensor *> all = model->norms;
    all.push_back(model->embeddings);
    model->buffer = null_allocate(all.data(), all.size());
    for (ggml_tensor * t : all) {
        for (size_t i = 0; i < ggml_nbytes(t) / sizeof(float); i++) {
            static_cast<float *>(t->data)[i] = static_cast<float>(1 + i % 5);
        }
    }
    return model;
}

void null_model_free(llama_model * model) {
    ggml_backend_buffer_free(model->buffer);
    ggml_free(model->ctx);
    delete model;
}

int32_t llama_model_n_embd(const llama_model * model) { return model->width; }
int32_t llama_model_n_layer(const llama_model * model) { return model->blocks; }
int32_t llama_model_desc(const llama_model * model, char * text, size_t size) { return snprintf(text, size, "%s", model->arch.c_str()); }

int32_t llama_model_meta_val_str(const llama_model * model, const char * key, char * text, size_t size) {
    const bool arch = strcmp(key, "general.architecture") == 0;
    if (!arch && strcmp(key, "general.name") != 0) {
        return -1;
    }
    return snprintf(text, size, "%s", arch ? model->arch.c_str() : "null");
}

void               llama_backend_init() {}
llama_model_params llama_model_default_params() { return {}; }
llama_model *      llama_model_load_from_file(const char *, llama_model_params) { return null_model("llama", 4, 3); }
void               llama_model_free(llama_model * model) { null_model_free(model); }
void               llama_log_set(void (*)(int, const char *, void *), void *) {}

const llama_vocab * llama_model_get_vocab(const llama_model * model) { return reinterpret_cast<const llama_vocab *>(model); }
int32_t             llama_vocab_n_tokens(const llama_vocab * vocab) { return reinterpret_cast<const llama_model *>(vocab)->width; }
bool                llama_vocab_is_eog(const llama_vocab *, int32_t token) { return token > 0 && token == null_settings()->eog; }
int32_t             llama_model_n_swa(const llama_model *) { return 0; }
bool                llama_model_is_recurrent(const llama_model *) { return null_settings()->whole; }
bool                llama_model_is_hybrid(const llama_model *) { return false; }

int32_t llama_tokenize(const llama_vocab *, const char * text, int32_t size, int32_t * tokens, int32_t room, bool, bool) {
    for (int32_t i = 0; i < size && i < room; i++) {
        tokens[i] = text[i] >= 'a' && text[i] <= 'g' ? text[i] - 'a' + 1 : 0;
    }
    return size <= room ? size : -size;
}

int32_t llama_token_to_piece(const llama_vocab *, int32_t token, char * text, int32_t size, int32_t, bool) {
    if (size < 1) {
        return -1;
    }
    text[0] = static_cast<char>(token ? 'a' + token - 1 : ' ');
    return 1;
}

llama_batch llama_batch_get_one(int32_t * tokens, int32_t n) { return { n, tokens, nullptr, nullptr, nullptr, nullptr, nullptr }; }
}
