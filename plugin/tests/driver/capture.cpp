// What is captured of a context, printed.
#include "scenarios.h"

#include <cstdio>
#include <vector>

// Prints the rows of the last batch, and what was captured of each at every layer.
static void captured(llama_context * ctx) {
    size_t    n      = 0;
    const int status = EK(ek_captured_rows)(ctx, nullptr, 0, &n);
    printf("captured: %d, %zu rows\n", status, n);
    if (status != EK_OK) {
        printf("%s\n", EK(ek_last_error)());
        return;
    }
    std::vector<ek_row> rows(n + 1);
    EK(ek_captured_rows)(ctx, rows.data(), rows.size(), &n);
    const int blocks = argument("blocks", 3);
    for (int layer = 0; layer <= blocks; layer++) {
        std::vector<float> values(n * 8 + 1);
        size_t             floats = 0;
        // The last: the null host has no final norm.
        EK(ek_captured)(ctx, layer < blocks ? layer : EK_FINAL_NORM, values.data(), values.size(), &floats);
        const size_t width = n ? floats / n : 0;
        for (size_t i = 0; i < floats; i++) {
            if (i % width == 0) {
                const ek_row & row = rows[i / width];
                printf("layer %d, sequence %d, position %d, token %d:", layer, row.seq, row.pos, row.token);
            }
            printf(i % width == width - 1 ? " %g\n" : " %g", values[i]);
        }
    }
    // Asked with too little room, it says so and writes nothing.
    float     one   = 7;
    size_t    needed = 0;
    const int tight = EK(ek_captured)(ctx, 0, &one, n ? 1 : 0, &needed);
    printf("tight: %d, %g\n", tight, one);
}

// Batches of two sequences, in micro-batches of two; before, while and after it is captured.
int capture() {
    llama_model *   m   = model();
    llama_context * ctx = context(m);
    // Row 1 of three gives output, and the last of each sequence.
    const null_row rows[] = { { 1, 0, 0, 1, { 0 } }, { 2, 1, 1, 1, { 0 } }, { 3, 0, 1, 1, { 1 } }, { 4, 2, 1, 1, { 0 } } };
    decode(ctx, 2, 1);
    host().memory(ctx, NULL_CLEAR, nullptr);
    captured(ctx);
    printf("capture: %d\n", EK(ek_capture)(ctx, 1));
    // The graph of this one was built before.
    decode(ctx, 2, 1);
    captured(ctx);
    decode(ctx, 1, 1);
    decode(ctx, 1, 1);
    captured(ctx);
    host().memory(ctx, NULL_CLEAR, nullptr);
    host().feed(ctx, rows, 4, argument("ext", 0));
    captured(ctx);
    host().memory(ctx, NULL_CLEAR, nullptr);
    // Nothing gives output.
    decode(ctx, 2, 0);
    captured(ctx);
    host().reserve(ctx);
    decode(ctx, 1, 1);
    host().reserve(ctx);
    captured(ctx);
    printf("end: %d\n", EK(ek_capture)(ctx, 0));
    decode(ctx, 1, 1);
    captured(ctx);
    EK(ek_capture)(ctx, 1);
    decode(ctx, 1, 1);
    stats();
    host().free(ctx);
    printf("freed: %d\n", EK(ek_capture)(ctx, 1));
    host().model_free(m);
    return 0;
}
