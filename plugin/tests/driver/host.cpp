// How the driver gets at the null host and at the plug-in.
#include "host.h"

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <stdexcept>
#include <unistd.h>
#include <vector>

std::map<std::string, int> arguments;

int argument(const char * key, int otherwise) {
    auto found = arguments.find(key);
    return found == arguments.end() ? otherwise : found->second;
}

#ifdef LINKED
#define TAKE(name) &name
const Host & host() {
#else
static void * in_host(const char * name) {
    static void * library = dlopen(getenv("NULL_HOST"), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "driver: %s\n", dlerror());
        exit(99);
    }
    return dlsym(library, name);
}

#define TAKE(name) reinterpret_cast<decltype(&name)>(in_host(#name))
const Host & host() {
#endif
    static const Host all = {
        TAKE(llama_context_default_params), TAKE(llama_init_from_model), TAKE(llama_free),  TAKE(llama_get_logits_ith),
        TAKE(null_model),                   TAKE(null_model_free),       TAKE(null_decode), TAKE(null_shift),
        TAKE(null_reserve),                 TAKE(null_settings),         TAKE(null_living),
        TAKE(null_feed),                    TAKE(null_memory),           TAKE(null_lose),   TAKE(null_cell_at),
        TAKE(null_state),                   TAKE(null_sampler),
    };
    return all;
}

#ifdef LINKED
static void * in_host(const char * name) { return dlsym(RTLD_DEFAULT, name); }
#endif

// As EK_API_FILL does in a program whose compiler knows all of these functions.
ek_api functions() {
    static std::vector<ek_api_function> list;
#define ENTRY(name) list.push_back({#name, reinterpret_cast<void (*)()>(in_host(#name))});
    if (list.empty()) {
        EK_API_FUNCTIONS(ENTRY)
    }
    return {EK_ABI_VERSION, static_cast<uint32_t>(list.size()), list.data()};
}

static void * opened;

void * plugin(const char * name) { return dlsym(opened ? opened : RTLD_DEFAULT, name); }

int open_plugin(const char * door, bool close) {
    opened = dlopen(getenv("PLUGIN"), RTLD_NOW | RTLD_LOCAL);
    if (!opened) {
        fprintf(stderr, "driver: %s\n", dlerror());
        exit(99);
    }
    int status = reinterpret_cast<int (*)()>(plugin(door))();
    if (close) {
        dlclose(opened);
    }
    return status;
}

void stats() {
    auto call = EK(ek_stats_json);
    if (!call) {
        return;
    }
    size_t needed = 0;
    int    status = call(nullptr, 0, &needed);
    std::vector<char> text(needed + 4096);
    if (status == EK_OK) {
        status = call(text.data(), text.size(), &needed);
    }
    status == EK_OK ? printf("stats %s\n", text.data()) : printf("ek_stats_json returned %d\n", status);
}

void decode(llama_context * ctx, int n_tokens, int n_outputs) {
    int status;
    try {
        status = host().decode(ctx, n_tokens, n_outputs);
    } catch (const std::exception & e) {
        printf("decode %d: caught: %s\n", n_tokens, e.what());
        return;
    }
    printf("decode %d: %d, logits", n_tokens, status);
    for (int i = 0; status == 0 && n_outputs > 0 && i < argument("width", 4); i++) {
        printf(" %g", host().logits(ctx, -1)[i]);
    }
    printf("\n");
}

llama_model * model(const char * arch) { return host().model(arch, argument("width", 4), argument("blocks", 3)); }

llama_context * context(llama_model * model, int kind) {
    llama_context_params params = host().default_params();
    params.embeddings           = kind == 1;
    params.ctx_type             = kind == 2;
    params.n_batch              = static_cast<uint32_t>(argument("batch", 2048));
    params.n_ubatch             = static_cast<uint32_t>(argument("ubatch", 512));
    params.n_seq_max            = 8;
    llama_context * ctx         = host().init(model, params);
    if (!ctx) {
        printf("the context was refused\n");
    }
    return ctx;
}

long resident() {
    long pages = 0, all = 0;
    FILE * file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &all, &pages) != 2) {
        pages = 0;
    }
    if (file) {
        fclose(file);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}
