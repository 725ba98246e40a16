// A batch, split into micro-batches: llama.cpp calls these of its own functions across files, so that they can be stood in
// front of.
#include "model.h"

#include <algorithm>

llama_batch_allocr::llama_batch_allocr(const std::vector<null_batch_row> & rows) {
    for (const null_batch_row & row : rows) {
        token.push_back(row.token);
        pos.push_back(row.pos);
        n_seq_id.push_back(static_cast<int32_t>(row.seqs.size()));
        seq_id.push_back(const_cast<int32_t *>(row.seqs.data()));
        output.push_back(row.output);
    }
    batch = { static_cast<int32_t>(rows.size()), token.data(), nullptr, pos.data(), n_seq_id.data(), seq_id.data(), output.data() };
}

llama_ubatch llama_batch_allocr::split_simple(uint32_t n_ubatch) {
    llama_ubatch found = {};
    found.n_tokens = std::min(n_ubatch, static_cast<uint32_t>(token.size()) - used);
    used += found.n_tokens;
    return found;
}

llama_ubatch llama_batch_allocr::split_equal(uint32_t n_ubatch, bool, uint32_t) { return split_simple(n_ubatch); }

const llama_batch & llama_batch_allocr::get_batch() const { return batch; }

uint32_t llama_batch_allocr::get_n_used() const { return used; }
