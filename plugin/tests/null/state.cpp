// Saved states: of one sequence or of all, in memory or in a file. A short or damaged one is an error, bytes behind it are
// not read, as in llama.cpp.
#include "model.h"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

static const uint32_t STATE = 0x11e57a7e, FILES = 0x11f11e50;
static const uint32_t PARTIAL = 1;

struct null_writer {
    std::vector<uint8_t> bytes;

    template <typename T> void put(const T & value) {
        const auto * first = reinterpret_cast<const uint8_t *>(&value);
        bytes.insert(bytes.end(), first, first + sizeof(T));
    }
};

struct null_reader {
    const uint8_t * data;
    size_t          size;
    size_t          read = 0;

    template <typename T> T take() {
        if (size - read < sizeof(T)) {
            throw std::runtime_error("unexpectedly reached end of buffer");
        }
        T value;
        memcpy(&value, data + read, sizeof(T));
        read += sizeof(T);
        return value;
    }
};

// Partial: only the last cell, as if everything else could be rolled back.
static void write_seq(null_writer & out, const llama_memory_i & memory, int32_t seq, uint32_t flags) {
    const auto found = memory.seqs.find(seq);
    out.put(STATE);
    out.put(seq);
    const std::map<int32_t, null_cell> none;
    const auto & cells = found == memory.seqs.end() ? none : found->second;
    auto         first = flags & PARTIAL && !cells.empty() ? std::prev(cells.end()) : cells.begin();
    out.put(static_cast<uint32_t>(std::distance(first, cells.end())));
    for (; first != cells.end(); ++first) {
        out.put(first->first);
        out.put(first->second);
    }
}

static void read_seq(null_reader & in, llama_memory_i & memory, int32_t seq, uint32_t flags) {
    if (in.take<uint32_t>() != STATE) {
        throw std::runtime_error("wrong sequence state magic");
    }
    in.take<int32_t>();
    std::map<int32_t, null_cell> cells;
    for (uint32_t n = in.take<uint32_t>(); n > 0; n--) {
        const auto pos = in.take<int32_t>();
        cells[pos]     = in.take<null_cell>();
    }
    if (flags & PARTIAL) {
        for (const auto & [pos, cell] : cells) {
            memory.seqs[seq][pos] = cell;
        }
    } else {
        memory.seqs[seq] = cells;
    }
}

static void write_all(null_writer & out, const llama_memory_i & memory) {
    out.put(static_cast<uint32_t>(memory.seqs.size()));
    for (const auto & [seq, cells] : memory.seqs) {
        out.put(seq);
        write_seq(out, memory, seq, 0);
    }
}

static void read_all(null_reader & in, llama_memory_i & memory) {
    memory.seqs.clear();
    for (uint32_t n = in.take<uint32_t>(); n > 0; n--) {
        read_seq(in, memory, in.take<int32_t>(), 0);
    }
}

static size_t give(const null_writer & from, uint8_t * data, size_t size) {
    if (from.bytes.size() > size) {
        printf("host: error saving state: the buffer is too small\n");
        return 0;
    }
    memcpy(data, from.bytes.data(), from.bytes.size());
    return from.bytes.size();
}

template <typename F> static size_t restored(const uint8_t * data, size_t size, F read) {
    null_reader in = { data, size };
    try {
        read(in);
    } catch (const std::exception & e) {
        printf("host: error loading state: %s\n", e.what());
        return 0;
    }
    return in.read;
}

static size_t write_file(const char * path, const int32_t * tokens, size_t n_tokens, const null_writer & state) {
    null_writer out;
    out.put(FILES);
    out.put(static_cast<uint32_t>(n_tokens));
    for (size_t i = 0; i < n_tokens; i++) {
        out.put(tokens[i]);
    }
    out.bytes.insert(out.bytes.end(), state.bytes.begin(), state.bytes.end());
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char *>(out.bytes.data()), static_cast<std::streamsize>(out.bytes.size()));
    return file ? out.bytes.size() : 0;
}

// Without a place for tokens only their number is told.
template <typename F>
static size_t read_file(const char * path, int32_t * tokens, size_t capacity, size_t * n_tokens, F read) {
    std::ifstream              file(path, std::ios::binary);
    const std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    return restored(bytes.data(), bytes.size(), [&](null_reader & in) {
        if (in.take<uint32_t>() != FILES) {
            throw std::runtime_error("unknown magic");
        }
        *n_tokens = in.take<uint32_t>();
        if (!tokens) {
            return;
        }
        if (*n_tokens > capacity) {
            throw std::runtime_error("token count exceeded capacity");
        }
        for (size_t i = 0; i < *n_tokens; i++) {
            tokens[i] = in.take<int32_t>();
        }
        read(in);
    });
}

extern "C" {
size_t llama_state_get_size(llama_context * ctx) {
    null_writer out;
    write_all(out, ctx->memory);
    return out.bytes.size();
}

size_t llama_state_get_data(llama_context * ctx, uint8_t * data, size_t size) {
    null_writer out;
    write_all(out, ctx->memory);
    return give(out, data, size);
}

size_t llama_state_set_data(llama_context * ctx, const uint8_t * data, size_t size) {
    null_throw(NULL_STATE);
    return restored(data, size, [&](null_reader & in) { read_all(in, ctx->memory); });
}

bool llama_state_save_file(llama_context * ctx, const char * path, const int32_t * tokens, size_t n_tokens) {
    null_writer out;
    write_all(out, ctx->memory);
    return write_file(path, tokens, n_tokens, out) > 0;
}

bool llama_state_load_file(llama_context * ctx, const char * path, int32_t * tokens, size_t capacity, size_t * n_tokens) {
    null_throw(NULL_STATE);
    return read_file(path, tokens, capacity, n_tokens, [&](null_reader & in) { read_all(in, ctx->memory); }) > 0;
}

size_t llama_state_seq_get_size(llama_context * ctx, int32_t seq) { return llama_state_seq_get_size_ext(ctx, seq, 0); }

size_t llama_state_seq_get_data(llama_context * ctx, uint8_t * data, size_t size, int32_t seq) {
    return llama_state_seq_get_data_ext(ctx, data, size, seq, 0);
}

size_t llama_state_seq_set_data(llama_context * ctx, const uint8_t * data, size_t size, int32_t seq) {
    return llama_state_seq_set_data_ext(ctx, data, size, seq, 0);
}

size_t llama_state_seq_get_size_ext(llama_context * ctx, int32_t seq, uint32_t flags) {
    null_throw(NULL_STATE);
    null_writer out;
    write_seq(out, ctx->memory, seq, flags);
    return out.bytes.size();
}

size_t llama_state_seq_get_data_ext(llama_context * ctx, uint8_t * data, size_t size, int32_t seq, uint32_t flags) {
    null_throw(NULL_STATE);
    null_writer out;
    write_seq(out, ctx->memory, seq, flags);
    return give(out, data, size);
}

size_t llama_state_seq_set_data_ext(llama_context * ctx, const uint8_t * data, size_t size, int32_t seq, uint32_t flags) {
    null_throw(NULL_STATE);
    return restored(data, size, [&](null_reader & in) { read_seq(in, ctx->memory, seq, flags); });
}

size_t llama_state_seq_save_file(llama_context * ctx, const char * path, int32_t seq, const int32_t * tokens, size_t n_tokens) {
    null_throw(NULL_STATE);
    null_writer out;
    write_seq(out, ctx->memory, seq, 0);
    return write_file(path, tokens, n_tokens, out);
}

size_t llama_state_seq_load_file(llama_context * ctx, const char * path, int32_t seq, int32_t * tokens, size_t capacity, size_t * n_tokens) {
    null_throw(NULL_STATE);
    return read_file(path, tokens, capacity, n_tokens, [&](null_reader & in) { read_seq(in, ctx->memory, seq, 0); });
}
}
