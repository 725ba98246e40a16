/*
 * evenkeel: takes bias out of a model inside any stock llama.cpp program.
 * The C interface of libevenkeel.so. ABI version 1.
 *
 * Most programs need none of this: LD_PRELOAD=libevenkeel.so and EVENKEEL_PROFILE=profile.toml do the same from outside.
 * A program that loads plug-ins itself, or comes with a foreign function interface (Python, Node, ...), does:
 *
 *     load the program's llama library, then libevenkeel.so
 *     ek_install();
 *     ek_load_profile("profile.toml");      // or set EVENKEEL_PROFILE
 *     make the llama_context as always
 *
 * Conventions
 * - Every function may be called from any thread at any time. None throws, none exits; none blocks on the model but those that
 *   say so.
 * - A function that can fail returns an ek_status, EK_OK (0) or what went wrong; ek_last_error() then has the sentence.
 * - Text is UTF-8 and ends with a zero byte. Pointers passed in are used during the call only; nothing is to be freed.
 * - A strength is what the rule's operator makes of it: for add a factor on the direction as stored, as in llama.cpp's
 *   --control-vector-scaled; for project the fraction that is taken out; for clamp and rotate how much of their
 *   correction is made.
 * - A context is bound to the profiles that are loaded when it is made. Their files are watched and taken up again when they
 *   change, unless a profile says reload = "off"; a sequence keeps what its request began with.
 * - A request begins: in llama-server by itself; at ek_begin; at ek_set_profile; else when the end of a sequence's cells is
 *   removed. Cells that stay and were computed under another profile are then evaluated again, before the next call to
 *   decode runs, so that an answer never depends on what was asked before.
 */
#ifndef EVENKEEL_H
#define EVENKEEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EK_ABI_VERSION 1

typedef int32_t ek_status;

enum {
    EK_OK         = 0, /* done */
    EK_E_ARGUMENT = 1, /* a NULL pointer, text that is not UTF-8, a number that is not finite or too large */
    EK_E_VERSION  = 2, /* the version asked for is not spoken */
    EK_E_HOST     = 3, /* no llama.cpp in this process, or none that can be hooked */
    EK_E_PROFILE  = 4, /* the profile or one of its files has errors */
    EK_E_RULE     = 5, /* no such rule, or its strength cannot be changed */
    EK_E_SPACE    = 6, /* the buffer is too small */
    EK_E_INTERNAL = 7, /* an internal error: the model runs on as the host built it, ek_stats_json says "poisoned" */
    EK_E_CONTEXT  = 8  /* no llama_context that runs under a profile */
};

/* ---- versions ---------------------------------------------------------------------------------------------------- */

/* The ABI version of the loaded library. Compare with EK_ABI_VERSION, or negotiate. */
uint32_t ek_abi_version(void);

/* The library's version, for example "0.1.0". Static. */
const char * ek_version(void);

/*
 * Agrees on an ABI version.
 *   wanted   the newest version that the caller knows (EK_ABI_VERSION)
 *   granted  gets the newest that both know
 * Errors: EK_E_VERSION if there is none, EK_E_ARGUMENT if granted is NULL.
 */
ek_status ek_negotiate(uint32_t wanted, uint32_t * granted);

/* ---- the way in -------------------------------------------------------------------------------------------------- */

/*
 * Hooks the llama.cpp in this process. Call it after the llama library is loaded and before contexts are made: contexts
 * that exist already stay as they are. Not needed with LD_PRELOAD or GGML_BACKEND_PATH. Calling it again does no harm, and
 * is needed if another llama library was loaded meanwhile.
 * Errors: EK_E_HOST, and the text says what is missing.
 */
ek_status ek_install(void);

/* ---- programs that contain llama.cpp ----------------------------------------------------------------------------- */

/*
 * A program that is linked with llama.cpp statically has no call that could be redirected from outside. It hands its
 * functions over, and attaches each context that is to run under the profile:
 *
 *     #include "llama.h"                    // before evenkeel.h or after it
 *     ek_api api;
 *     EK_API_FILL(&api);
 *     ek_install_api(&api);
 *     ek_load_profile("profile.toml");      // or set EVENKEEL_PROFILE
 *     ctx = llama_init_from_model(...);
 *     ek_attach(ctx);
 *     ... ek_before_decode(ctx, &batch); llama_decode(ctx, batch); ...
 *     ek_detach(ctx);
 *     llama_free(ctx);
 *
 * The graph is reached through llama.cpp's own interface for samplers that run in the graph (llama_set_sampler), at
 * a sequence id that no token can have: raw logits, the program's samplers and the key-value cache stay as they are.
 * While such a sampler is set, llama.cpp reuses a graph only for a batch with the same sequences in the same order.
 */
struct llama_context;
struct llama_batch;

typedef struct ek_api_function {
    const char * name;
    void (*function)(void);
} ek_api_function;

/* The program's llama.cpp, by name. Filled by EK_API_FILL; the list lives as long as the program. */
typedef struct ek_api {
    uint32_t                abi_version;
    uint32_t                count;
    const ek_api_function * functions;
} ek_api;

/* The functions that the library calls. Those of a later header may be more; names that a library does not know do no harm. */
#define EK_API_FUNCTIONS(X) \
    X(ggml_version) \
    X(ggml_init) \
    X(ggml_free) \
    X(ggml_tensor_overhead) \
    X(ggml_graph_overhead_custom) \
    X(ggml_nbytes) \
    X(ggml_op_name) \
    X(ggml_op_desc) \
    X(ggml_new_tensor_1d) \
    X(ggml_new_tensor_2d) \
    X(ggml_new_tensor_3d) \
    X(ggml_new_tensor_4d) \
    X(ggml_dup_tensor) \
    X(ggml_view_1d) \
    X(ggml_view_2d) \
    X(ggml_view_3d) \
    X(ggml_set_name) \
    X(ggml_set_input) \
    X(ggml_set_output) \
    X(ggml_add) \
    X(ggml_mul) \
    X(ggml_scale) \
    X(ggml_scale_bias) \
    X(ggml_sum_rows) \
    X(ggml_relu) \
    X(ggml_sqrt) \
    X(ggml_step) \
    X(ggml_sigmoid) \
    X(ggml_cont) \
    X(ggml_clamp) \
    X(ggml_mul_mat) \
    X(ggml_repeat) \
    X(ggml_repeat_4d) \
    X(ggml_reshape_4d) \
    X(ggml_get_rows) \
    X(ggml_set_rows) \
    X(ggml_soft_max) \
    X(ggml_log) \
    X(ggml_new_graph_custom) \
    X(ggml_build_forward_expand) \
    X(ggml_graph_size) \
    X(ggml_graph_n_nodes) \
    X(ggml_graph_node) \
    X(ggml_graph_nodes) \
    X(ggml_graph_add_node) \
    X(ggml_backend_alloc_ctx_tensors) \
    X(ggml_backend_alloc_ctx_tensors_from_buft) \
    X(ggml_backend_buffer_free) \
    X(ggml_backend_buffer_get_size) \
    X(ggml_backend_buffer_get_type) \
    X(ggml_backend_buffer_set_usage) \
    X(ggml_backend_buft_name) \
    X(ggml_backend_buft_is_host) \
    X(ggml_backend_buft_get_device) \
    X(ggml_backend_cpu_buffer_type) \
    X(ggml_backend_dev_by_type) \
    X(ggml_backend_dev_count) \
    X(ggml_backend_dev_get) \
    X(ggml_backend_dev_buffer_type) \
    X(ggml_backend_dev_description) \
    X(ggml_backend_dev_init) \
    X(ggml_backend_dev_memory) \
    X(ggml_backend_dev_name) \
    X(ggml_backend_dev_supports_op) \
    X(ggml_backend_dev_type) \
    X(ggml_backend_free) \
    X(ggml_backend_graph_compute) \
    X(ggml_backend_tensor_get) \
    X(ggml_backend_tensor_set) \
    X(ggml_backend_sched_new) \
    X(ggml_backend_sched_free) \
    X(ggml_backend_sched_reserve) \
    X(ggml_backend_sched_alloc_graph) \
    X(ggml_backend_sched_graph_compute_async) \
    X(ggml_backend_sched_synchronize) \
    X(llama_init_from_model) \
    X(llama_get_model) \
    X(llama_model_n_embd) \
    X(llama_model_n_layer) \
    X(llama_model_meta_val_str) \
    X(llama_model_desc) \
    X(llama_context_default_params) \
    X(llama_get_memory) \
    X(llama_memory_seq_rm) \
    X(llama_memory_seq_pos_max) \
    X(llama_n_batch) \
    X(llama_n_seq_max) \
    X(llama_decode) \
    X(llama_model_get_vocab) \
    X(llama_model_n_swa) \
    X(llama_model_is_recurrent) \
    X(llama_model_is_hybrid) \
    X(llama_vocab_n_tokens) \
    X(llama_vocab_is_eog) \
    X(llama_token_to_piece) \
    X(llama_synchronize) \
    X(llama_set_sampler) \
    X(llama_sampler_init) \
    X(llama_sampler_free) \
    X(llama_sampler_chain_init) \
    X(llama_sampler_chain_default_params) \
    X(llama_sampler_chain_add) \
    X(ggml_custom_4d)

#define EK_API_ENTRY(name) { #name, (void (*)(void)) name },

/* Fills an ek_api with the functions of the llama.cpp that the program is linked with. A statement. */
#define EK_API_FILL(api)                                                                        \
    do {                                                                                        \
        static const ek_api_function ek_functions[] = { EK_API_FUNCTIONS(EK_API_ENTRY) };       \
        (api)->abi_version = EK_ABI_VERSION;                                                    \
        (api)->count       = (uint32_t) (sizeof(ek_functions) / sizeof(ek_functions[0]));       \
        (api)->functions   = ek_functions;                                                      \
    } while (0)

/*
 * Takes the program's llama.cpp and tests it. Once, before the first ek_attach.
 *   api  filled by EK_API_FILL; NULL: the program exports its symbols (linked with -rdynamic)
 * Errors: EK_E_HOST, and the text says what is missing or which test failed; EK_E_ARGUMENT for a list that is none.
 */
ek_status ek_install_api(const ek_api * api);

/*
 * Binds a context to the profile in force. It says on standard error where the context stands, as for every context.
 * Nothing is done to a context that is bound already (a hook may have done it), and nothing without a profile.
 *   ctx  made by the llama.cpp of ek_install_api; not in use by another thread
 * Errors: EK_E_PROFILE if the profile has errors or does not fit the model, EK_E_HOST if ek_install_api was not called or
 * this llama.cpp takes no samplers (as with --split-mode tensor); the context then runs as without the library.
 */
ek_status ek_attach(struct llama_context * ctx);

/*
 * Undoes ek_attach: needed before llama_free. Waits for an evaluation that still runs. A context that is not attached stays
 * as it is.
 *   ctx  a live context, not in use by another thread
 */
ek_status ek_detach(struct llama_context * ctx);

/*
 * Tells that a batch is about to be decoded. Before each llama_decode: this is where reloaded profiles are taken up, where
 * cells that another profile left are evaluated again (it may then decode by itself), and how rows are known to belong to a
 * sequence and a request. A profile whose rules all act on every row with a constant strength acts without this call, too.
 *   ctx    as in ek_attach; nothing is done for one that is not attached
 *   batch  what llama_decode will be given; NULL: not known (llama_process), so that rules with a gate act only while one
 *          profile is in force, and nothing is counted
 * Errors: EK_E_HOST if it turned out that nothing is steered.
 */
ek_status ek_before_decode(struct llama_context * ctx, const struct llama_batch * batch);

/* ---- profiles ---------------------------------------------------------------------------------------------------- */

/*
 * Reads a profile with all its files; contexts made from now on run under it. It takes the place of EVENKEEL_PROFILE.
 *   path  the TOML file, or a folder of them; NULL: contexts made from now on run without a profile
 * Errors: EK_E_PROFILE, and the text lists all errors of the files, one a line; the profile in force before stays so.
 */
ek_status ek_load_profile(const char * path);

/*
 * Reads the loaded profiles again, now. Every context takes them up between two calls to decode; requests that have begun go
 * on as they are.
 * Errors: EK_E_PROFILE if a file has errors, or a profile says reload = "off"; what was in force stays so.
 */
ek_status ek_reload(void);

/*
 * Chooses the profile of one sequence, from now on: a request begins with it.
 *   ctx   the llama_context *
 *   seq   the llama_seq_id, 0 or more
 *   name  of a loaded profile, or "off"; NULL: the default again
 * Errors: EK_E_CONTEXT, EK_E_ARGUMENT; EK_E_PROFILE if no profile of that name is loaded.
 */
ek_status ek_set_profile(const void * ctx, int32_t seq, const char * name);

/*
 * Says that a request begins on a sequence: what is fed next is prompt until a row gives output. From the first call on, only
 * these begin a request on it; without, a removal of its last cells does.
 * Errors: EK_E_CONTEXT, EK_E_ARGUMENT.
 */
ek_status ek_begin(const void * ctx, int32_t seq);

/* ---- segments ---------------------------------------------------------------------------------------------------- */

/* Positions of one segment in its sequence: from begin, to end exclusive. */
typedef struct ek_span {
    int32_t begin;
    int32_t end;
} ek_span;

/*
 * Says which tokens of a sequence are segments (documents, options, answers) whose order shall not count, under a profile
 * with an [invariance] table. Call it before the first token of the first segment is fed. All tokens of all segments must
 * then be evaluated in one micro-batch (n_ubatch and n_batch at least as large), alone or with what stands before and after
 * them; what follows may come in any pieces. It holds until the cells of the segments are removed. A sequence whose segments
 * cannot be served can only end, or runs on without a profile, as on-error says.
 *   ctx    the llama_context *
 *   seq    the llama_seq_id, 0 or more
 *   spans  1 to 64 segments, none empty, each beginning where the one before ends; the first begins at 1 or later. Label each
 *          inside of it: what stands between them belongs to one of them
 *   n      how many; 0: the sequence has none (any more)
 * Errors: EK_E_CONTEXT; EK_E_ARGUMENT for spans that are not as above; EK_E_PROFILE if the sequence's profile has no
 * [invariance], this model's attention cannot be made independent of the order, or tokens of the segments were fed already.
 */
ek_status ek_set_segments(const void * ctx, int32_t seq, const ek_span * spans, size_t n);

/* ---- live control ------------------------------------------------------------------------------------------------ */

/*
 * Changes the strength of a rule that has `adjustable = true`, in every context that runs it. It takes effect with the next
 * micro-batch; what is already in a key-value cache stays as it was computed until a request begins. 0 leaves the model
 * exactly as it is.
 * Errors: EK_E_RULE if no context has such a rule, or it is not adjustable; EK_E_ARGUMENT if strength is not finite, or so
 * large that what it scales would not be.
 */
ek_status ek_set_strength(const char * rule, float strength);

/*
 * Reads the strength that ek_set_strength changes.
 *   strength  gets the value
 * Errors: as ek_set_strength.
 */
ek_status ek_get_strength(const char * rule, float * strength);

/* ---- activations -------------------------------------------------------------------------------------------------- */

/* A row that was captured: its sequence, its position in it, its token; below 0 for one that came as an embedding. */
typedef struct ek_row {
    int32_t seq;
    int32_t pos;
    int32_t token;
} ek_row;

/* In place of a layer: what the output matrix reads. */
#define EK_FINAL_NORM (-1)

/*
 * Captures the residual stream: from its next evaluation on, every graph of the context copies it after each layer, for the
 * rows that give output, and behind the last layer what the output matrix reads. All layers in one pass, with the rest of the
 * graph as it is; under a profile, as its rules leave it.
 *   ctx  a llama_context that was made after ek_install, with a profile or without; not in use by another thread
 *   on   1; 0 ends it
 * Errors: EK_E_CONTEXT for another context, EK_E_HOST in a program that contains llama.cpp.
 */
ek_status ek_capture(const void * ctx, int32_t on);

/*
 * Which rows were captured in the last call to decode, in the order in which they were evaluated, which is not always that of
 * the batch. Waits until they are computed. The context must not be in use by another thread.
 *   rows    gets them; NULL with n 0: only asks how many there are
 *   n       rows that there is room for
 *   needed  gets their number
 * Errors: EK_E_CONTEXT for a context that is not captured; EK_E_HOST if its graphs or rows could not be read, and the text says
 * why; EK_E_SPACE (needed is set), EK_E_ARGUMENT.
 */
ek_status ek_captured_rows(const void * ctx, ek_row * rows, size_t n, size_t * needed);

/*
 * What was captured of these rows at one layer, n_embd values for each row, one row after the other.
 *   layer   block, from 0, or EK_FINAL_NORM
 *   values  gets them; NULL with n 0: only asks for their number
 *   n       values that there is room for
 *   needed  gets their number; 0 if this model's graph names no residual stream there
 * Errors: as ek_captured_rows.
 */
ek_status ek_captured(const void * ctx, int32_t layer, float * values, size_t n, size_t * needed);

/* ---- proof of life ----------------------------------------------------------------------------------------------- */

/*
 * What the library does, as JSON: status ("idle": nothing asked for; "waiting": no context yet; "active"; "failed";
 * "poisoned"), the profile, every context with its standing ("ours"; "idle": made without a profile; "left": it
 * generates no text; "other": another model than the profile's; "failed") and why; what its devices leave to the CPU;
 * per rule its profile, strength, layers, sites, evaluated graphs and rows (also those on which a rule's condition
 * does not hold); the sequences with their profiles and cells; requests that ended or were refused, cells that were
 * evaluated again or left as another profile made them; under a contrast the rows that were set off, and what a second
 * context evaluated for them; what passed through; the library's own time for evaluations of micro-batches in
 * nanoseconds (their number, the sum, the longest).
 *   buffer  gets the text with its zero byte; NULL with size 0: only asks for the length
 *   size    of buffer, in bytes
 *   needed  gets the bytes needed, zero byte included
 * Errors: EK_E_SPACE (needed is set), EK_E_ARGUMENT. Counters of one call may be a micro-batch apart.
 */
ek_status ek_stats_json(char * buffer, size_t size, size_t * needed);

/*
 * Counters per rule and site: a snapshot of all contexts that run under a profile.
 * Ownership: ek_stats_new makes it, ek_stats_free frees it (NULL is allowed); its texts live as long as it does. It does not
 * change, so that any number of threads may read it.
 */
typedef struct ek_stats ek_stats;

typedef struct ek_stat {
    const char * rule;     /* the rule's name */
    const char * site;     /* "residual", "attn-out", "ffn-out", "final-norm", "heads", or a matrix: "attn_k", ... */
    uint32_t     context;  /* number of the context, from 1, as in the log */
    uint32_t     layer;    /* block, from 0 */
    float        strength; /* at this moment */
    uint64_t     graphs;   /* evaluated graphs in which the rule acted here */
    uint64_t     rows;     /* rows (tokens) of these graphs here, also those on which its condition does not hold */
} ek_stat;

/* Errors: EK_E_ARGUMENT for NULL, and for an index that is not below the count. */
ek_status ek_stats_new(ek_stats ** stats);
ek_status ek_stats_count(const ek_stats * stats, size_t * count);
ek_status ek_stats_get(const ek_stats * stats, size_t index, ek_stat * stat);
ek_status ek_stats_free(ek_stats * stats);

/*
 * For people: the plan of every context that runs under a profile, layer by layer, and the nodes that it became in the first
 * graph. Parameters and errors as ek_stats_json.
 */
ek_status ek_plan_text(char * buffer, size_t size, size_t * needed);

/* The sentence for this thread's last error; "" if there was none. Valid until this thread's next call that fails. */
const char * ek_last_error(void);

#ifdef __cplusplus
}
#endif

#endif /* EVENKEEL_H */
