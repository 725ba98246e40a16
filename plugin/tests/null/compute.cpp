// The few operations, on F32 (and I32 indices), slow and plain.
#include "ggml.h"

#include <cmath>
#include <cstring>

static float * at(const ggml_tensor * t, const int64_t i[4]) {
    size_t offset = 0;
    for (int d = 0; d < 4; d++) {
        // An operand that is smaller is repeated.
        offset += (i[d] % t->ne[d]) * t->nb[d];
    }
    return reinterpret_cast<float *>(static_cast<char *>(t->data) + offset);
}

static float parameter(const ggml_tensor * t, int n) {
    float p;
    memcpy(&p, t->op_params + n, sizeof(p));
    return p;
}

static float value(const ggml_tensor * t, const int64_t i[4]) {
    const ggml_tensor * a = t->src[0];
    const ggml_tensor * b = t->src[1];
    switch (t->op) {
#ifdef NULL_WRONG_ADD
        case GGML_OP_ADD: return *at(a, i) - *at(b, i);
#else
        case GGML_OP_ADD: return *at(a, i) + *at(b, i);
#endif
        case GGML_OP_MUL: return *at(a, i) * *at(b, i);
        case GGML_OP_REPEAT: return *at(a, i);
        case GGML_OP_SCALE: return parameter(t, 0) * *at(a, i) + parameter(t, 1);
        case GGML_OP_CLAMP: return std::fmin(std::fmax(*at(a, i), parameter(t, 0)), parameter(t, 1));
        case GGML_OP_CONT: return *at(a, i);
        case GGML_OP_RELU: return std::fmax(*at(a, i), 0.0f);
        case GGML_OP_SQRT: return std::sqrt(*at(a, i));
        case GGML_OP_STEP: return *at(a, i) > 0;
        case GGML_OP_SIGMOID: return 1 / (1 + std::exp(-*at(a, i)));
        case GGML_OP_SUM_ROWS: {
            float   sum    = 0;
            int64_t row[4] = { 0, i[1], i[2], i[3] };
            for (; row[0] < a->ne[0]; row[0]++) {
                sum += *at(a, row);
            }
            return sum;
        }
        case GGML_OP_GET_ROWS: {
            const int64_t row[4] = { i[0], static_cast<const int32_t *>(b->data)[i[1]], 0, 0 };
            if (row[1] < 0 || row[1] >= a->ne[1]) {
                null_abort("GET_ROWS reads a row that is not there");
            }
            return *at(a, row);
        }
        default: null_abort("a node that cannot be computed");
    }
}

void null_compute(ggml_cgraph * graph) {
    for (int n = 0; n < graph->n_nodes; n++) {
        const ggml_tensor * t = graph->nodes[n];
#ifndef NULL_NO_COMPUTE_FLAG
        if (!(t->flags & GGML_TENSOR_FLAG_COMPUTE)) {
            continue;
        }
#endif
        if (t->op == GGML_OP_VIEW) {
            continue;
        }
        int64_t i[4];
        for (i[3] = 0; i[3] < t->ne[3]; i[3]++)
            for (i[2] = 0; i[2] < t->ne[2]; i[2]++)
                for (i[1] = 0; i[1] < t->ne[1]; i[1]++)
                    for (i[0] = 0; i[0] < t->ne[0]; i[0]++)
                        *at(t, i) = value(t, i);
    }
}
