// What can be done to cells.
#include "memory.h"
#include "options.h"

int32_t llama_memory_i::end(int32_t seq) const {
    auto found = seqs.find(seq);
    return found == seqs.end() || found->second.empty() ? 0 : found->second.rbegin()->first + 1;
}

static bool within(int32_t pos, int32_t p0, int32_t p1) { return pos >= p0 && (p1 < 0 || pos < p1); }

void llama_memory_i::remove(int32_t seq, int32_t p0, int32_t p1) {
    for (auto & [id, cells] : seqs) {
        if (seq < 0 || id == seq) {
            for (auto cell = cells.begin(); cell != cells.end();) {
                cell = within(cell->first, p0, p1) ? cells.erase(cell) : std::next(cell);
            }
        }
    }
}

// Moves cells to where `to` says.
template <typename F> static void moved(llama_memory_i * memory, int32_t seq, int32_t p0, int32_t p1, F to) {
    std::map<int32_t, null_cell> all;
    for (const auto & [pos, cell] : memory->seqs[seq]) {
        const int32_t target = within(pos, p0, p1) ? to(pos) : pos;
        if (target >= 0) {
            all[target] = cell;
        }
    }
    memory->seqs[seq] = all;
}

extern "C" {
void llama_memory_clear(llama_memory_i * memory, bool) {
    null_throw(NULL_MEMORY);
    memory->seqs.clear();
}

bool llama_memory_seq_rm(llama_memory_i * memory, int32_t seq, int32_t p0, int32_t p1) {
    null_throw(NULL_MEMORY);
    const bool partial = seq >= 0 && p0 > 0 && p0 < memory->end(seq);
    if (partial && null_settings()->whole) {
        return false;
    }
    memory->remove(seq, p0, p1);
    return true;
}

void llama_memory_seq_cp(llama_memory_i * memory, int32_t from, int32_t to, int32_t p0, int32_t p1) {
    null_throw(NULL_MEMORY);
    const auto source = memory->seqs[from];
    for (const auto & [pos, cell] : source) {
        if (within(pos, p0, p1)) {
            memory->seqs[to][pos] = cell;
        }
    }
}

void llama_memory_seq_keep(llama_memory_i * memory, int32_t seq) {
    null_throw(NULL_MEMORY);
    const auto kept = memory->seqs[seq];
    memory->seqs    = { { seq, kept } };
}

void llama_memory_seq_add(llama_memory_i * memory, int32_t seq, int32_t p0, int32_t p1, int32_t delta) {
    null_throw(NULL_MEMORY);
    moved(memory, seq, p0, p1, [&](int32_t pos) { return pos + delta; });
}

void llama_memory_seq_div(llama_memory_i * memory, int32_t seq, int32_t p0, int32_t p1, int d) {
    null_throw(NULL_MEMORY);
    moved(memory, seq, p0, p1, [&](int32_t pos) { return pos / d; });
}

int32_t llama_memory_seq_pos_min(llama_memory_i * memory, int32_t seq) {
    null_throw(NULL_MEMORY);
    const auto & cells = memory->seqs[seq];
    return cells.empty() ? -1 : cells.begin()->first;
}

// Not thrown from: llama.cpp only looks it up, and a hook that asks it cannot let an exception pass.
int32_t llama_memory_seq_pos_max(llama_memory_i * memory, int32_t seq) { return memory->end(seq) - 1; }
}
