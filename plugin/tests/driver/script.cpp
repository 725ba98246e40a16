// A scenario in words, from the environment variable SCRIPT: one command a line, or between semicolons. FOLDER is where
// files are. What the host throws is caught and printed, and the script goes on.
#include "scenarios.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>
#include <unistd.h>
#include <vector>

using Words = std::vector<std::string>;

static llama_model *                               the_model;
static std::vector<llama_context *>                contexts;
static llama_context *                             ctx;
static std::map<std::string, std::vector<uint8_t>> states;

static std::string path(const std::string & name) { return std::string(getenv("FOLDER")) + "/" + name; }
static int32_t     number(const Words & words, size_t i, int32_t otherwise) { return i < words.size() ? atoi(words[i].c_str()) : otherwise; }

static int32_t end(int32_t seq) { return host().memory(ctx, NULL_POS_MAX, &seq) + 1; }

static void said(const char * what, int status) {
    printf("%s: %d%s%s\n", what, status, status ? ": " : "", status ? EK(ek_last_error)() : "");
}

// SEQ[+SEQ]...[@POS]:LETTERS, an output after each letter with an exclamation mark.
static void rows(const std::string & word, std::map<int32_t, int32_t> & next, std::vector<null_row> & all) {
    const size_t colon = word.find(':'), at = word.find('@');
    null_row     row   = {};
    std::istringstream seqs(word.substr(0, std::min(at, colon)));
    for (std::string seq; std::getline(seqs, seq, '+');) {
        row.seqs[row.n_seqs++] = atoi(seq.c_str());
    }
    const int32_t first = row.seqs[0];
    if (at != std::string::npos) {
        next[first] = atoi(word.c_str() + at + 1);
    } else if (!next.count(first)) {
        next[first] = end(first);
    }
    for (size_t i = colon + 1; i < word.size(); i++) {
        if (word[i] == '!') {
            all.back().output = 1;
        } else {
            row.token = word[i] == '_' ? 0 : word[i] - 'a' + 1;
            row.pos   = next[first]++;
            all.push_back(row);
        }
    }
}

static void feed(const Words & words) {
    std::vector<null_row>      all;
    std::map<int32_t, int32_t> next;
    for (size_t i = 1; i < words.size(); i++) {
        rows(words[i], next, all);
    }
    const int status = host().feed(ctx, all.data(), static_cast<int>(all.size()), words[0] == "process");
    if (status != 0) {
        printf("%s: %d\n", words[0].c_str(), status);
    }
    for (size_t i = 0; status == 0 && i < all.size(); i++) {
        if (all[i].output) {
            const float * logits = host().logits(ctx, static_cast<int>(i));
            printf("%d@%d:", all[i].seqs[0], all[i].pos);
            for (int n = 0; n < argument("width", 4); n++) {
                printf(" %g", logits[n]);
            }
            printf("\n");
        }
    }
}

static void cells(const Words & words) {
    const int32_t seq = number(words, 1, 0);
    printf("cells %d:", seq);
    for (int32_t pos = 0; pos < end(seq); pos++) {
        int32_t token = 0;
        float   key   = 0;
        if (host().cell(ctx, seq, pos, &token, &key)) {
            printf(" %c%g", token ? 'a' + token - 1 : '_', key);
        } else {
            printf(" -");
        }
    }
    printf("\n");
}

static void memory(int what, const Words & words, bool print) {
    int32_t a[5];
    for (size_t i = 0; i < 5; i++) {
        a[i] = number(words, i + 1, -1);
    }
    const int result = host().memory(ctx, what, a);
    if (print) {
        printf("%s: %d\n", words[0].c_str(), result);
    }
}

static void saving(int what, const Words & words) {
    std::vector<uint8_t> & state = states[words[1]];
    const int32_t          seq   = number(words, 2, 0);
    const auto             flags = static_cast<uint32_t>(number(words, 3, 0));
    if (what == NULL_GET) {
        const size_t size = host().state(ctx, NULL_SIZE, seq, nullptr, 0, nullptr, flags);
        state.assign(size, 0);
        const size_t written = host().state(ctx, NULL_GET, seq, state.data(), size, nullptr, flags);
        printf("save %s: %zu of %zu\n", words[1].c_str(), written, size);
    } else {
        const size_t read = host().state(ctx, NULL_SET, seq, state.data(), state.size(), nullptr, flags);
        printf("load %s: %zu of %zu\n", words[1].c_str(), read, state.size());
    }
}

static void filing(int what, const Words & words) {
    const std::string file = path(words[1]);
    const size_t      n    = host().state(ctx, what, number(words, 2, 0), nullptr, 0, file.c_str(), 0);
    std::ifstream     in(file, std::ios::ate | std::ios::binary);
    printf("%s: %zu of %ld\n", words[0].c_str(), n, in ? static_cast<long>(in.tellg()) : -1L);
}

static void sampler(int what, const Words & words, size_t first) {
    std::vector<const char *> breakers;
    for (size_t i = first; i < words.size(); i++) {
        breakers.push_back(words[i] == "\\n" ? "\n" : words[i].c_str());
    }
    host().sampler(ctx, what, number(words, 1, 0), breakers.empty() ? nullptr : breakers.data(), breakers.size());
}

static void request(const Words & words) {
    sampler(NULL_CHAIN, words, words.size());
    sampler(NULL_DRY, words, 2);
    sampler(NULL_SET_SAMPLER, words, words.size());
}

static void copy(const Words & words) {
    std::ifstream in(path(words[1]), std::ios::binary);
    // As an editor does it: another file takes the name.
    const std::string part = path("part");
    std::ofstream(part, std::ios::binary) << in.rdbuf();
    if (rename(part.c_str(), path(words[2]).c_str()) != 0) {
        printf("copy failed\n");
    }
}

// Changes one byte of a saved state, counted from its end if the offset is negative.
static void poke(const Words & words) {
    std::vector<uint8_t> & state  = states[words[1]];
    const int32_t          offset = number(words, 2, 0);
    state.at(offset < 0 ? state.size() - static_cast<size_t>(-offset) : static_cast<size_t>(offset)) = static_cast<uint8_t>(number(words, 3, 0));
}

static void run(const Words & w) {
    static const std::map<std::string, std::function<void(const Words &)>> all = {
        { "decode", feed },
        { "process", feed },
        { "cells", cells },
        { "echo", [](const Words & w) { printf("-- %s\n", w[1].c_str()); } },
        { "clear", [](const Words & w) { memory(NULL_CLEAR, w, false); } },
        { "rm", [](const Words & w) { memory(NULL_RM, w, false); } },
        { "cp", [](const Words & w) { memory(NULL_CP, w, false); } },
        { "keep", [](const Words & w) { memory(NULL_KEEP, w, false); } },
        { "add", [](const Words & w) { memory(NULL_ADD, w, false); } },
        { "div", [](const Words & w) { memory(NULL_DIV, w, false); } },
        { "pos-min", [](const Words & w) { memory(NULL_POS_MIN, w, true); } },
        { "lose", [](const Words & w) { host().lose(ctx, number(w, 1, 0), number(w, 2, 0), number(w, 3, -1)); } },
        { "save", [](const Words & w) { saving(NULL_GET, w); } },
        { "load", [](const Words & w) { saving(NULL_SET, w); } },
        { "save-file", [](const Words & w) { filing(NULL_SAVE, w); } },
        { "load-file", [](const Words & w) { filing(NULL_LOAD, w); } },
        { "count-file", [](const Words & w) { filing(NULL_COUNT, w); } },
        { "same", [](const Words & w) { printf("%s\n", states[w[1]] == states[w[2]] ? "same" : "different"); } },
        { "cut", [](const Words & w) { states[w[1]].resize(states[w[1]].size() - static_cast<size_t>(number(w, 2, 0))); } },
        { "poke", poke },
        { "request", request },
        { "chain", [](const Words & w) { sampler(NULL_CHAIN, w, w.size()); } },
        { "dry", [](const Words & w) { sampler(NULL_DRY, w, 1); } },
        { "clone", [](const Words & w) { sampler(NULL_CLONE, w, 1); } },
        { "set-sampler", [](const Words & w) { sampler(NULL_SET_SAMPLER, w, w.size()); } },
        { "release", [](const Words & w) { sampler(NULL_RELEASE, w, w.size()); } },
        { "profile", [](const Words & w) { said("profile", EK(ek_set_profile)(ctx, number(w, 1, 0), w.size() > 2 ? w[2].c_str() : nullptr)); } },
        { "begin", [](const Words & w) { said("begin", EK(ek_begin)(ctx, number(w, 1, 0))); } },
        { "reload", [](const Words &) { said("reload", EK(ek_reload)()); } },
        { "load-profile", [](const Words & w) { said("load-profile", EK(ek_load_profile)(path(w[1]).c_str())); } },
        { "strength", [](const Words & w) { said("strength", EK(ek_set_strength)(w[1].c_str(), static_cast<float>(atof(w[2].c_str())))); } },
        { "copy", copy },
        { "sleep", [](const Words & w) { usleep(static_cast<useconds_t>(number(w, 1, 0)) * 1000); } },
        { "throw", [](const Words & w) { host().settings()->throw_in = number(w, 1, 0); } },
        { "shift", [](const Words &) { host().shift(ctx); } },
        { "reserve", [](const Words &) { host().reserve(ctx); } },
        { "buffers", [](const Words &) { printf("%d buffers, %d contexts of ggml\n", host().living()->buffers.load(), host().living()->contexts.load()); } },
        { "stats", [](const Words &) { stats(); } },
        { "context", [](const Words & w) {
             // Another one, or one that is there.
             const size_t n = static_cast<size_t>(number(w, 1, 0));
             if (n >= contexts.size()) {
                 contexts.push_back(context(the_model));
             }
             ctx = contexts.at(n);
         } },
        { "free", [](const Words &) {
             host().free(ctx);
             for (llama_context *& c : contexts) {
                 c = c == ctx ? nullptr : c;
             }
         } },
    };
    auto found = all.find(w[0]);
    if (found == all.end()) {
        fprintf(stderr, "driver: no such command: %s\n", w[0].c_str());
        exit(98);
    }
    try {
        found->second(w);
    } catch (const std::exception & e) {
        printf("%s: caught: %s\n", w[0].c_str(), e.what());
    }
}

int script() {
    the_model = model();
    contexts.push_back(context(the_model));
    ctx              = contexts[0];
    std::string text = getenv("SCRIPT") ? getenv("SCRIPT") : "";
    for (char & c : text) {
        c = c == ';' ? '\n' : c;
    }
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream in(line.substr(0, line.find('#')));
        Words              words;
        for (std::string word; in >> word;) {
            words.push_back(word);
        }
        if (!words.empty()) {
            run(words);
        }
    }
    stats();
    for (llama_context * c : contexts) {
        if (c) {
            host().free(c);
        }
    }
    host().model_free(the_model);
    return 0;
}
