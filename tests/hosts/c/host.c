#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-backend.h"
#include "host.h"

static FILE * out;
static int    nodes;

static bool count_node(struct ggml_tensor * tensor, bool ask, void * data) {
    (void) tensor;
    (void) data;
    nodes += ask;
    return !ask;
}

/* The site that a node of evenkeel's belongs to (`ek.SITE`, or `ek.SITE.NUMBER`), NULL for any other node. */
static const char * site_of(const struct ggml_tensor * tensor) {
    static char site[GGML_MAX_NAME];
    if (!tensor || strncmp(tensor->name, "ek.", 3) != 0) {
        return NULL;
    }
    snprintf(site, sizeof(site), "%s", tensor->name + 3);
    char * dot = strchr(site, '.');
    if (dot) {
        *dot = 0;
    }
    return site;
}

/* What a node is captured as: `ek.SITE` before evenkeel's rules (its clone of the node), and `SITE` after them, whatever
 * the host calls the node; residual streams, also within a layer, where no rule acts. NULL if it is not captured. */
static const char * captured_as(const struct ggml_tensor * tensor) {
    const char * name = tensor->name;
    if (strncmp(name, "ek.", 3) == 0) {
        return strchr(name + 3, '.') || strncmp(name, "ek.gate", 7) == 0 || strncmp(name, "ek.probe", 8) == 0 ? NULL : name;
    }
    for (int i = 0; i < 2; i++) {
        const char * site = site_of(tensor->src[i]);
        if (site) {
            return site;
        }
    }
    const char * streams[] = {"l_out-", "ffn_inp-", "sa_out-"};
    for (size_t i = 0; i < sizeof(streams) / sizeof(*streams); i++) {
        size_t n = strlen(streams[i]);
        if (strncmp(name, streams[i], n) == 0 && strspn(name + n, "0123456789") == strlen(name + n)) {
            return name;
        }
    }
    return NULL;
}

static void write_node(struct ggml_tensor * tensor, const char * name) {
    size_t n = ggml_nbytes(tensor) / sizeof(uint32_t);
    uint32_t * bits = malloc(n * sizeof(uint32_t) + 1);
    ggml_backend_tensor_get(tensor, bits, 0, n * sizeof(uint32_t));
    fprintf(out, "capture %s %" PRId64, name, tensor->ne[0]);
    for (size_t i = 0; i < n; i++) {
        fprintf(out, " %08" PRIx32, bits[i]);
    }
    fputc('\n', out);
    free(bits);
}

/* Writes the whole numbers that evenkeel's attention computes: by how much each query of a head is turned for each segment. */
static bool shift_node(struct ggml_tensor * tensor, bool ask, void * data) {
    (void) data;
    if (tensor->type != GGML_TYPE_I32 || strncmp(tensor->name, "ek.attention.", 13) != 0) {
        return false;
    }
    if (!ask) {
        write_node(tensor, tensor->name);
    }
    return true;
}

/* Writes the values of the sites. */
static bool capture_node(struct ggml_tensor * tensor, bool ask, void * data) {
    (void) data;
    const char * name = captured_as(tensor);
    if (!name) {
        return false;
    }
    if (ask) {
        return true;
    }
    write_node(tensor, name);
    return true;
}

static void log_line(enum ggml_log_level level, const char * text, void * data) {
    (void) data;
    if (level == GGML_LOG_LEVEL_ERROR || level == GGML_LOG_LEVEL_WARN) {
        fputs(text, stderr);
    }
}

/* This program passes llama_context_params by value: the header it was compiled with must be the library's. */
static void check_layout(void) {
    struct llama_context_params context = llama_context_default_params();
    struct llama_model_params   model   = llama_model_default_params();
    bool same = context.n_ctx == 512 && context.n_batch == 2048 && context.n_ubatch == 512 &&
                context.flash_attn_type == LLAMA_FLASH_ATTN_TYPE_AUTO && context.type_k == GGML_TYPE_F16 &&
                context.type_v == GGML_TYPE_F16 && !context.embeddings && context.offload_kqv && !context.kv_unified &&
                !context.samplers && context.n_samplers == 0 && !context.ctx_other && model.tensor_split == NULL &&
                model.progress_callback == NULL && !model.vocab_only && model.use_extra_bufts && !model.no_alloc;
    if (!same) {
        fail("llama.h does not match this libllama", llama_print_system_info());
    }
}

/* The library's own door: no symbol of it is known to the linker. */
static void install(const char * path) {
    void * library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fail("dlopen", dlerror());
    }
    int (*ek_install)(void) = (int (*)(void)) dlsym(library, "ek_install");
    if (!ek_install) {
        fail("dlsym", dlerror());
    }
    int status = ek_install();
    fprintf(stderr, "host: ek_install returned %d\n", status);
    if (status != 0) {
        exit(3);
    }
}

/* Token t of a sequence: fixed, spread over the whole vocabulary, different for every sequence. */
static llama_token token(int sequence, int position, int vocabulary) {
    unsigned x = (unsigned) position * 2654435761u + (unsigned) sequence * 40503u + 12345u;
    x ^= x >> 15;
    return (llama_token) (3 + x % (unsigned) (vocabulary - 3));
}

static void write_row(const char * phase, int sequence, int position, const float * logits, int vocabulary) {
    fprintf(out, "%s %d %d", phase, sequence, position);
    for (int i = 0; i < vocabulary; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof(bits));
        fprintf(out, " %08" PRIx32, bits);
    }
    fputc('\n', out);
}

/* One batch with `length` tokens of every sequence, from `start`. The last `wrong` of them are others than follow later. */
static void evaluate(struct llama_context * context, const struct options * options, const char * phase, int start,
                     int length, int wrong, bool logits, int vocabulary) {
    struct llama_batch batch = llama_batch_init(length * options->sequences, 0, 1);
    for (int s = 0; s < options->sequences; s++) {
        for (int p = start; p < start + length; p++) {
            int row = batch.n_tokens++;
            batch.token[row]     = token(s, p + (p >= start + length - wrong ? 7919 : 0), vocabulary);
            batch.pos[row]       = p;
            batch.n_seq_id[row]  = 1;
            batch.seq_id[row][0] = s;
            batch.logits[row]    = logits && (!options->last_only || (phase[0] == 'd' && options->drafts > 0) || p == start + length - 1);
        }
    }
    nodes = 0;
    embed_decode(context, &batch);
    int status = llama_decode(context, batch);
    if (status != 0) {
        fail("llama_decode failed", phase);
    }
    for (int row = 0; row < batch.n_tokens; row++) {
        if (batch.logits[row]) {
            write_row(phase, batch.seq_id[row][0], batch.pos[row], llama_get_logits_ith(context, row), vocabulary);
        }
    }
    if (options->count) {
        fprintf(out, "nodes %d\n", nodes);
    }
    llama_batch_free(batch);
}

static enum ggml_type cache_type(const char * name) {
    const enum ggml_type types[] = {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0};
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        if (strcmp(name, ggml_type_name(types[i])) == 0) {
            return types[i];
        }
    }
    fail("unknown type of cache", name);
}

static void run(struct llama_model * model, const struct options * options) {
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx           = 512;
    params.n_ubatch        = (uint32_t) options->ubatch;
    params.n_seq_max       = (uint32_t) options->sequences;
    params.kv_unified      = !options->separate;
    params.n_threads       = (int32_t) options->threads;
    params.n_threads_batch = (int32_t) options->threads;
    params.flash_attn_type = (enum llama_flash_attn_type) options->flash;
    if (options->cache) {
        params.type_k = params.type_v = cache_type(options->cache);
    }
    params.cb_eval         = options->count ? count_node : options->capture ? capture_node : options->shifts ? shift_node : NULL;

    struct llama_context * context = llama_init_from_model(model, params);
    if (!context) {
        fprintf(stderr, "host: the context was refused\n");
        exit(2);
    }
    embed_context(context);
    if (options->vector) {
        apply_vector(context, model, options);
    }
    if (options->choose) {
        choose(context, options->choose);
    }
    int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
    if (options->script) {
        run_script(context, options->script, write_row);
        llama_free(context);
        return;
    }
    for (int part = 0; part < options->parts; part++) {
        int from = options->prompt * part / options->parts, to = options->prompt * (part + 1) / options->parts;
        evaluate(context, options, "prompt", from, to - from, 0, part + 1 == options->parts, vocabulary);
    }
    if (options->back > 0 || options->later) {
        switch_over(context, options);
    }
    if (options->turn) {
        embed_turn(strtof(options->turn, NULL));
    }
    int wrong = options->drafts / 2, kept = 1 + options->drafts - wrong;
    for (int i = -options->back; i < options->decode; i += kept) {
        evaluate(context, options, "decode", options->prompt + i, kept + wrong, wrong, true, vocabulary);
        for (int s = 0; s < options->sequences && wrong > 0; s++) {
            if (!llama_memory_seq_rm(llama_get_memory(context), s, options->prompt + i + kept, -1)) {
                fail("llama_memory_seq_rm failed", NULL);
            }
        }
    }
    embed_end(context);
    llama_free(context);
}

int main(int argc, char ** argv) {
    struct options options = parse(argc, argv);
    llama_log_set(log_line, NULL);
    check_layout();
    if (options.install) {
        install(options.install);
    }
    if (options.embed) {
        embed(options.embed, options.exported, options.lacks);
    }
    if (options.backends) {
        ggml_backend_load_all_from_path(options.backends);
    }
    llama_backend_init();
    if (options.rpc) {
        add_servers(options.rpc);
        name_devices();
    }

    struct llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = options.gpu_layers;
    struct llama_model * model = llama_model_load_from_file(options.model, params);
    if (!model) {
        fail("cannot load the model", options.model);
    }
    out = fopen(options.out, "w");
    if (!out) {
        fail("cannot write", options.out);
    }
    for (int i = 0; i < options.contexts; i++) {
        run(model, &options);
    }
    if (fclose(out) != 0) {
        fail("cannot write", options.out);
    }
    llama_model_free(model);
    llama_backend_free();
    return 0;
}
