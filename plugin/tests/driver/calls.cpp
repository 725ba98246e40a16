// The plug-in's own functions, and callers that are not the usual ones.
#include "scenarios.h"

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>
#include <vector>

// Has the host call every function that the plug-in stands in front of, but for those of the last graph.
static void hooked(llama_context * ctx) {
    const int32_t zero[5] = { 0, 0, 0, 0, 0 }, copy[5] = { 0, 1, -1, -1, 0 };
    // Twice: the second one asks whether the graph of the first can be evaluated again.
    const null_row rows[] = { { 1, 0, 1, 1, {} }, { 1, 1, 1, 1, {} } };
    host().feed(ctx, &rows[0], 1, 0);
    host().feed(ctx, &rows[1], 1, 1);
    for (int what : { NULL_CP, NULL_ADD, NULL_POS_MIN }) {
        host().memory(ctx, what, copy);
    }
    const int32_t half[5] = { 0, 0, -1, 2, 0 };
    host().memory(ctx, NULL_DIV, half);
    const std::string    path = "/tmp/evenkeel-calls-" + std::to_string(getpid());
    std::vector<uint8_t> state(host().state(ctx, NULL_SIZE, 0, nullptr, 0, nullptr, 0));
    host().state(ctx, NULL_GET, 0, state.data(), state.size(), nullptr, 0);
    host().state(ctx, NULL_SET, 0, state.data(), state.size(), nullptr, 0);
    host().state(ctx, NULL_SAVE, 0, nullptr, 0, path.c_str(), 0);
    host().state(ctx, NULL_LOAD, 0, nullptr, 0, path.c_str(), 0);
    state.resize(host().state(ctx, NULL_SIZE, -1, nullptr, 0, nullptr, 0));
    host().state(ctx, NULL_GET, -1, state.data(), state.size(), nullptr, 0);
    host().state(ctx, NULL_SET, -1, state.data(), state.size(), nullptr, 0);
    host().state(ctx, NULL_SAVE, -1, nullptr, 0, path.c_str(), 0);
    host().state(ctx, NULL_LOAD, -1, nullptr, 0, path.c_str(), 0);
    remove(path.c_str());
    for (int what : { NULL_CHAIN, NULL_DRY, NULL_SET_SAMPLER, NULL_LORA, NULL_CVEC }) {
        host().sampler(ctx, what, 0, nullptr, 0);
    }
    for (int what : { NULL_KEEP, NULL_RM, NULL_CLEAR }) {
        host().memory(ctx, what, zero);
    }
    host().memory(ctx, NULL_CLEAR, zero);
}

// Calls every function of the header once, then forgets EVENKEEL_INJECT_PANIC and asks what is the matter.
int calls() {
    llama_model *   m       = model();
    llama_context * ctx     = context(m);
    uint32_t        granted = 0;
    float           now     = 0;
    size_t          needed  = 0;
    printf("ek_abi_version %u\n", EK(ek_abi_version)());
    printf("ek_version %s\n", EK(ek_version)());
    printf("ek_negotiate %d\n", EK(ek_negotiate)(EK_ABI_VERSION, &granted));
    printf("ek_install %d\n", EK(ek_install)());
    ek_api api = functions();
    printf("ek_install_api %d\n", EK(ek_install_api)(&api));
    // The hooks bound it already.
    printf("ek_attach %d\n", ctx ? EK(ek_attach)(ctx) : 0);
    printf("ek_before_decode %d\n", ctx ? EK(ek_before_decode)(ctx, nullptr) : 0);
    printf("ek_detach %d\n", ctx ? EK(ek_detach)(ctx) : 0);
    printf("ek_load_profile %d\n", EK(ek_load_profile)(getenv("EVENKEEL_PROFILE")));
    printf("ek_set_strength %d\n", EK(ek_set_strength)("push", 0.5f));
    printf("ek_get_strength %d\n", EK(ek_get_strength)("push", &now));
    printf("ek_stats_json %d\n", EK(ek_stats_json)(nullptr, 0, &needed));
    printf("ek_plan_text %d\n", EK(ek_plan_text)(nullptr, 0, &needed));
    printf("ek_set_profile %d\n", EK(ek_set_profile)(ctx, 0, nullptr));
    printf("ek_begin %d\n", EK(ek_begin)(ctx, 0));
    printf("ek_set_segments %d\n", EK(ek_set_segments)(ctx, 0, nullptr, 0));
    printf("ek_reload %d\n", EK(ek_reload)());
    printf("ek_capture %d\n", EK(ek_capture)(ctx, 1));
    printf("ek_captured_rows %d\n", EK(ek_captured_rows)(ctx, nullptr, 0, &needed));
    printf("ek_captured %d\n", EK(ek_captured)(ctx, 0, nullptr, 0, &needed));
    printf("ek_capture %d\n", EK(ek_capture)(ctx, 0));
    ek_stats * snapshot = nullptr;
    ek_stat    stat     = {};
    size_t     count    = 0;
    printf("ek_stats_new %d\n", EK(ek_stats_new)(&snapshot));
    // Where ek_stats_new panics there is no snapshot to try the others on.
    printf("ek_stats_count %d\n", snapshot ? EK(ek_stats_count)(snapshot, &count) : 0);
    printf("ek_stats_get %d\n", snapshot ? EK(ek_stats_get)(snapshot, 0, &stat) : 0);
    printf("ek_stats_free %d\n", snapshot ? EK(ek_stats_free)(snapshot) : 0);
    printf("ggml_backend_score %d\n", reinterpret_cast<int (*)()>(plugin("ggml_backend_score"))());
    printf("ek_last_error '%s'\n", EK(ek_last_error)());
    if (ctx) {
        hooked(ctx);
        // Of another shape than before, so that its graph is built after whatever panicked.
        decode(ctx, 2, 1);
        host().free(ctx);
    }
    unsetenv("EVENKEEL_INJECT_PANIC");
    stats();
    host().model_free(m);
    return 0;
}

// Every argument that a caller can get wrong.
int misuse() {
    size_t   needed = 0;
    uint32_t granted = 0;
    char     small[4], text[4096];
    auto say = [](const char * what, int status) { printf("%s: %d: %s\n", what, status, EK(ek_last_error)()); };
    say("nothing yet", 0);
    say("version 0", EK(ek_negotiate)(0, &granted));
    say("granted NULL", EK(ek_negotiate)(1, nullptr));
    say("a newer caller", EK(ek_negotiate)(7, &granted));
    printf("granted %u\n", granted);
    say("rule NULL", EK(ek_set_strength)(nullptr, 1.0f));
    say("rule not UTF-8", EK(ek_set_strength)("\xff", 1.0f));
    say("not a number", EK(ek_set_strength)("push", 0.0f / 0.0f));
    say("no such rule", EK(ek_set_strength)("pull", 1.0f));
    say("strength NULL", EK(ek_get_strength)("push", nullptr));
    say("needed NULL", EK(ek_stats_json)(text, sizeof(text), nullptr));
    say("buffer NULL", EK(ek_stats_json)(nullptr, 10, &needed));
    say("buffer small", EK(ek_stats_json)(small, sizeof(small), &needed) == EK_E_SPACE && needed > 4 ? EK_E_SPACE : -1);
    ek_stats * snapshot = nullptr;
    ek_stat    stat;
    say("snapshot NULL", EK(ek_stats_new)(nullptr));
    say("no snapshot to count", EK(ek_stats_count)(nullptr, &needed));
    say("no snapshot to read", EK(ek_stats_get)(nullptr, 0, &stat));
    say("no snapshot to free", EK(ek_stats_free)(nullptr));
    say("a snapshot", EK(ek_stats_new)(&snapshot));
    say("nothing in it", EK(ek_stats_count)(snapshot, &needed));
    printf("count %zu\n", needed);
    say("index too large", EK(ek_stats_get)(snapshot, 0, &stat));
    say("count NULL", EK(ek_stats_count)(snapshot, nullptr));
    say("freed", EK(ek_stats_free)(snapshot));
    int32_t other = 0;
    say("not a context", EK(ek_capture)(&other, 1));
    say("not captured", EK(ek_captured_rows)(&other, nullptr, 0, &needed));
    say("needed NULL", EK(ek_captured_rows)(&other, nullptr, 0, nullptr));
    say("no such layer", EK(ek_captured)(&other, -2, nullptr, 0, &needed));
    say("needed NULL", EK(ek_captured)(&other, 0, nullptr, 0, nullptr));
    ek_api api = functions();
    say("ctx NULL", EK(ek_attach)(nullptr));
    say("ctx NULL", EK(ek_detach)(nullptr));
    say("ctx NULL", EK(ek_before_decode)(nullptr, nullptr));
    api.count = 5;
    printf("too few functions: %d\n", EK(ek_install_api)(&api));
    api.count = 1u << 30;
    say("no list", EK(ek_install_api)(&api));
    api.count     = 5;
    api.functions = nullptr;
    say("no list", EK(ek_install_api)(&api));
    say("no such profile", EK(ek_load_profile)("/nowhere/at-all.toml"));
    say("path not UTF-8", EK(ek_load_profile)("\xff"));
    say("no profile", EK(ek_load_profile)(nullptr));
    stats();
    return 0;
}

static void at_end(void *) { printf("at the thread's end: '%s'\n", EK(ek_last_error)() ? "text" : "NULL"); }

// ek_last_error while its thread is being taken down, when Rust's own thread locals are gone.
int thread_end() {
    pthread_key_t key;
    pthread_key_create(&key, at_end);
    pthread_t thread;
    auto body = [](void * key) -> void * {
        EK(ek_load_profile)("/nowhere");
        pthread_setspecific(*static_cast<pthread_key_t *>(key), key);
        return nullptr;
    };
    pthread_create(&thread, nullptr, body, &key);
    pthread_join(thread, nullptr);
    stats();
    return 0;
}

// llama_init_from_model by a pointer that was looked up among everything that is loaded.
int pointer() {
    auto            init = reinterpret_cast<decltype(&llama_init_from_model)>(dlsym(RTLD_DEFAULT, "llama_init_from_model"));
    llama_model *   m    = model();
    llama_context * ctx  = init(m, host().default_params());
    printf("%s\n", ctx ? "made" : "refused");
    if (ctx) {
        decode(ctx, 1, 1);
        host().free(ctx);
    }
    stats();
    host().model_free(m);
    return 0;
}
