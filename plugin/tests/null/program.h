// A program that is linked with the host, as llama-server is: its calls to llama.cpp go through the loader.
#pragma once

#include "llama.h"

struct null_row {
    int32_t token, pos, output, n_seqs, seqs[4];
};

enum null_cells { NULL_CLEAR, NULL_RM, NULL_CP, NULL_KEEP, NULL_ADD, NULL_DIV, NULL_POS_MIN, NULL_POS_MAX };
enum null_saving { NULL_SIZE, NULL_GET, NULL_SET, NULL_SAVE, NULL_LOAD, NULL_COUNT };
enum null_asking { NULL_CHAIN, NULL_DRY, NULL_SET_SAMPLER, NULL_RELEASE, NULL_CLONE, NULL_LORA, NULL_CVEC };

extern "C" {
// Evaluates tokens 1, 2, 3, ... as sequence 0; the last n_outputs of them give logits. Begins again where the cells end.
int null_decode(llama_context * ctx, int n_tokens, int n_outputs);
// Evaluates rows; ext: as a batch of the other kind.
int null_feed(llama_context * ctx, const null_row * rows, int n_rows, int ext);
// Does that to cells; what it does not return is 0.
int null_memory(llama_context * ctx, int what, const int32_t * arguments);
// Removes cells as if nobody could see it.
void null_lose(llama_context * ctx, int32_t seq, int32_t p0, int32_t p1);
// The token and the key of a cell; false if it is not there.
int null_cell_at(const llama_context * ctx, int32_t seq, int32_t pos, int32_t * token, float * key);
// Saves or restores one sequence (seq < 0: all), in memory or, with a path, in a file.
size_t null_state(llama_context * ctx, int what, int32_t seq, uint8_t * data, size_t size, const char * path, uint32_t flags);
// Sets up a sampler, a part of it, or adapters.
void null_sampler(llama_context * ctx, int what, int32_t seq, const char ** breakers, size_t n_breakers);
}
