// What a driver may ask of the null host, and what it may count.
#pragma once

#include <atomic>

enum null_place {
    NULL_NOWHERE, NULL_CTOR, NULL_RESERVE, NULL_ALLOC, NULL_COMPUTE, NULL_UBATCH,
    NULL_REUSE,    // can_reuse
    NULL_DECODE,   // decode, of either kind of batch
    NULL_MEMORY,   // every operation on cells
    NULL_STATE,    // every function that saves or restores
    NULL_SAMPLER,  // every function of samplers
};

enum null_shape {
    NULL_PLAIN,
    NULL_TWICE,       // two nodes called l_out-1, as llama.cpp's own control vectors make them
    NULL_UNSELECTED,  // a second l_out-1 in a branch that is not computed
    NULL_THREE_DIMS,  // l_out-1 has a third dimension
    NULL_NO_LOGITS,   // no result_output
    NULL_NO_INPUT,    // inp_tokens has another name
};

struct null_options {
    std::atomic<int> throw_in;         // null_place: where a std::runtime_error is thrown
    std::atomic<int> shape;            // null_shape
    std::atomic<int> graph_size;       // nodes that a graph can hold
    std::atomic<int> print;            // graphs that reach the scheduler are printed
    std::atomic<int> no_reuse;         // every decode builds its graph
    std::atomic<int> fresh_addresses;  // ... at another address each time
    std::atomic<int> no_memory;        // from this request on, no buffer can be allocated, the scheduler's own apart
    std::atomic<int> measure;          // contexts only measure their graphs
    std::atomic<int> equal;            // batches are split by sequences
    std::atomic<int> eog;              // the token that ends a generation; 0: none does
    std::atomic<int> whole;            // the model's memory cannot give up the end of a sequence
    std::atomic<int> trace;            // the rows of every batch are printed, and whether its graph was built
};

struct null_counts {
    std::atomic<int> contexts;  // ggml_contexts that live
    std::atomic<int> buffers;   // buffers that live
};

extern "C" {
null_options * null_settings();
null_counts *  null_living();
}

// Throws if the driver asked for it.
void null_throw(null_place place);
