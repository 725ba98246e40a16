// Several threads, and several processes.
#include "scenarios.h"

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

// The logits of a context that nobody else uses.
static std::vector<float> reference(llama_model * m, int n_tokens) {
    llama_context * ctx = context(m);
    host().decode(ctx, n_tokens, 1);
    const float *      logits = host().logits(ctx, -1);
    std::vector<float> out(logits, logits + argument("width", 4));
    host().free(ctx);
    return out;
}

// Threads that each make a context, evaluate and free it, again and again, with different numbers of rows, while
// another reads the stats. Every result must be that of a context on its own.
int threads() {
    llama_model *                   m = model();
    std::vector<std::vector<float>> expected;
    for (int n = 1; n <= 4; n++) {
        expected.push_back(reference(m, n));
    }
    std::atomic<int>  wrong{ 0 }, done{ 0 };
    std::atomic<bool> stop{ false };
    auto work = [&](int seed) {
        for (int round = 0; round < argument("rounds", 40); round++) {
            llama_context * ctx = host().init(m, host().default_params());
            for (int i = 0; i < 25; i++) {
                const int n = 1 + (seed + round + i / 3) % 4;
                host().decode(ctx, n, 1);
                wrong += memcmp(host().logits(ctx, -1), expected[n - 1].data(), expected[n - 1].size() * sizeof(float)) != 0;
                done++;
            }
            host().free(ctx);
        }
    };
    auto watch = [&] {
        auto   call = EK(ek_stats_json);
        size_t needed = 0;
        char   text[1 << 15];
        while (!stop && call) {
            wrong += call(text, sizeof(text), &needed) != EK_OK;
        }
    };
    std::vector<std::thread> all;
    std::thread              watcher(watch);
    for (int seed = 0; seed < 4; seed++) {
        all.emplace_back(work, seed);
    }
    for (std::thread & t : all) {
        t.join();
    }
    stop = true;
    watcher.join();
    printf("%d evaluations, %d wrong\n", done.load(), wrong.load());
    stats();
    host().model_free(m);
    return 0;
}

static int in_child(const std::function<void()> & work) {
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        work();
        fflush(stdout);
        _exit(0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

// A child with an inherited context, and one that makes its own.
int forks() {
    llama_model *   m   = model();
    llama_context * ctx = context(m);
    decode(ctx, 1, 1);
    int status = in_child([&] {
        printf("-- child\n");
        stats();
        decode(ctx, 1, 1);
        decode(ctx, 2, 1);
        host().free(ctx);
        printf("-- own context\n");
        llama_context * own = context(m);
        decode(own, 2, 1);
        host().free(own);
        stats();
    });
    printf("-- parent: the child ended with %d\n", status);
    decode(ctx, 1, 1);
    decode(ctx, 2, 1);
    stats();
    host().free(ctx);
    host().model_free(m);
    return 0;
}

// Forks while other threads are inside the hooks: no child may hang.
int forks_under_load() {
    llama_model *     m = model();
    std::atomic<bool> stop{ false };
    std::atomic<int>  rounds{ 0 };
    auto work = [&] {
        while (!stop) {
            llama_context * ctx = host().init(m, host().default_params());
            host().decode(ctx, 2, 1);
            host().free(ctx);
            rounds++;
        }
    };
    std::thread a(work), b(work);
    int failed = 0;
    // The first calls of all find out about the host, and hold the loader's own lock meanwhile, which no child can release.
    while (rounds < 8) {
        std::this_thread::yield();
    }
    for (int i = 0; i < argument("count", 100) && !failed; i++) {
        failed += in_child([&] {
            alarm(20);
            llama_context * own = host().init(m, host().default_params());
            host().decode(own, 2, 1);
            host().free(own);
        }) != 0;
    }
    stop = true;
    a.join();
    b.join();
    printf("%d children failed\n", failed);
    host().model_free(m);
    return 0;
}
