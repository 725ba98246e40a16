// Cells by sequence and position.
#pragma once

#include "llama.h"

#include <map>

struct null_cell {
    int32_t token;
    float   key;  // what the graph computed for it
};

struct llama_memory_i {
    std::map<int32_t, std::map<int32_t, null_cell>> seqs;

    // One more than the last position.
    int32_t end(int32_t seq) const;
    void    remove(int32_t seq, int32_t p0, int32_t p1);
};
