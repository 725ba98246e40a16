/* A small program on llama.cpp, as a third party would write it: it knows nothing of evenkeel except, on request, that
 * a library can be loaded by hand. It feeds fixed tokens and writes every logit as the bits of its F32. */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>

#include "llama.h"

struct options {
    const char * model;
    const char * out;        /* file for the logits */
    const char * backends;   /* folder given to ggml_backend_load_all_from_path, or NULL */
    const char * rpc;        /* ADDRESS:PORT of RPC servers, separated by commas, or NULL */
    const char * install;    /* library to load by hand, whose ek_install() is called, or NULL */
    const char * embed;      /* library to load by hand, which is given this program's functions, or NULL */
    const char * vector;     /* native control vector, or NULL */
    const char * lacks;      /* embed: an operation that devices are said to lack, or NULL */
    const char * turn;       /* embed: strength of the rule `rule-0` after the prompt, or NULL */
    float        strength;   /* of the native control vector */
    int          first, last; /* layers of the native control vector, inclusive; 0 = all */
    int          prompt;     /* tokens per sequence in the first batch */
    int          decode;     /* batches of one token per sequence after it */
    int          parts;      /* batches that the first one is fed in, with logits in the last of them only if it has any */
    int          drafts;     /* rows after each token that are fed with it; half of them are taken back again */
    int          sequences;
    int          ubatch;
    int          threads;
    int          gpu_layers;
    int          flash;      /* -1 auto, 0 off, 1 on */
    const char * script;     /* what to feed instead of prompt and decode: see script.c; or NULL */
    const char * cache;      /* type of the cache by ggml's name for it, or NULL for f16 */
    int          contexts;   /* contexts made one after the other on one model */
    const char * choose;     /* profiles of sequences, chosen through ek_set_profile, or NULL */
    const char * later;      /* profile chosen for every sequence after the prompt, or NULL */
    const char * hidden;     /* llama.cpp's library, whose functions are looked up by hand there, or NULL */
    int          back;       /* tokens taken back after the prompt, and fed again */
    bool         exported;   /* embed: the library is to look this program's functions up */
    bool         separate;   /* each sequence has cells of its own */
    bool         last_only;  /* logits of the last prompt row only */
    bool         count;      /* also write the number of nodes of each evaluation */
    bool         shifts;     /* also write where attention puts segments: evenkeel's nodes of whole numbers */
    bool         capture;    /* also write the residual stream after every layer; not together with count */
};

/* Ends the program with a usage message when an option is unknown or a value is missing. */
struct options parse(int argc, char ** argv);

/* Prints a message and ends the program with status 1. */
_Noreturn void fail(const char * what, const char * detail);

/* Loads a library by hand and hands this program's llama.cpp over to it. Without it, the next four do nothing. */
void embed(const char * path, bool exported, const char * lacks);
void embed_context(struct llama_context * context);
void embed_decode(struct llama_context * context, const struct llama_batch * batch);
void embed_turn(float strength);
void embed_end(struct llama_context * context);

/* Registers the devices of RPC servers; names all devices on standard error. */
void add_servers(const char * list);
void name_devices(void);

/* Applies a control-vector file with llama.cpp's own adapter. */
void apply_vector(struct llama_context * context, const struct llama_model * model, const struct options * options);

/* Chooses profiles for sequences through ek_set_profile; the library is preloaded. */
void choose(struct llama_context * context, const char * list);

/* Takes tokens back, chooses another profile. */
void switch_over(struct llama_context * context, const struct options * options);

/* Feeds what a script says and calls `row` for every row of logits. */
void run_script(struct llama_context * context, const char * path,
                void (*row)(const char * phase, int sequence, int position, const float * logits, int vocabulary));

#endif
