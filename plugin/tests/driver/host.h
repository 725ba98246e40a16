// The null host's functions, linked or opened, and the plug-in's, wherever they are.
#pragma once

#include "../null/llama.h"
#include "../null/options.h"
#include "../null/program.h"
#include "../../../include/evenkeel.h"

#include <map>
#include <string>

struct Host {
    decltype(&llama_context_default_params) default_params;
    decltype(&llama_init_from_model)        init;
    decltype(&llama_free)                   free;
    decltype(&llama_get_logits_ith)         logits;
    decltype(&null_model)                   model;
    decltype(&null_model_free)              model_free;
    decltype(&null_decode)                  decode;
    decltype(&null_shift)                   shift;
    decltype(&null_reserve)                 reserve;
    decltype(&null_settings)                settings;
    decltype(&null_living)                  living;
    decltype(&null_feed)                    feed;
    decltype(&null_memory)                  memory;
    decltype(&null_lose)                    lose;
    decltype(&null_cell_at)                 cell;
    decltype(&null_state)                   state;
    decltype(&null_sampler)                 sampler;
};

// The functions that this program is linked with (-DLINKED), or those of the library $NULL_HOST, opened RTLD_LOCAL.
const Host & host();

// The null host's functions, as a program that contains it would hand them over.
ek_api functions();

// A function of the plug-in's: of $PLUGIN if the driver opened it, else of the one that was preloaded; NULL without one.
void * plugin(const char * name);
template <typename F> F ek(F, const char * name) { return reinterpret_cast<F>(plugin(name)); }
#define EK(name) ek(&name, #name)

// Opens $PLUGIN, closes it again if `close`, and returns what `door` (a function without arguments) returns.
int open_plugin(const char * door, bool close);

// KEY=VALUE of the command line, as a number.
extern std::map<std::string, int> arguments;
int argument(const char * key, int otherwise);

// Prints "stats JSON", or nothing without a plug-in.
void stats();
// Prints what is said of a decode: its status and the logits of its last row.
void decode(llama_context * ctx, int n_tokens, int n_outputs);
// A context of a model of 3 blocks and width 4 unless the command line says otherwise; kind: 1 embeddings, 2 drafts.
llama_context * context(llama_model * model, int kind = 0);
llama_model *   model(const char * arch = "llama");
// The process's resident memory in KiB.
long resident();

// A scenario, by its name on the command line.
using Scenario = int (*)();
Scenario find(const std::string & name);
