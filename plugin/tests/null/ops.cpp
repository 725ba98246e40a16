// What makes a tensor from others.
#include "context.h"

#include <cstring>

static const char * NAMES[] = { "NONE", "GET_ROWS", "VIEW", "SCALE", "MUL", "ADD", "REPEAT", "SUM_ROWS", "CLAMP", "CONT",
                                "RELU", "SQRT",     "STEP", "SIGMOID" };

// The result of an operation on a and b, in the shape of `like`.
static ggml_tensor * result(ggml_context * ctx, ggml_op op, const ggml_tensor * like, ggml_tensor * a, ggml_tensor * b) {
    ggml_tensor * t = null_tensor(ctx, GGML_TYPE_F32, like->ne[0], like->ne[1], like->ne[2], like->ne[3]);
    t->op           = op;
    t->src[0]       = a;
    t->src[1]       = b;
    return t;
}

static void repeats(const ggml_tensor * small, const ggml_tensor * large) {
    for (int i = 0; i < 4; i++) {
        if (small->ne[i] == 0 ? large->ne[i] != 0 : large->ne[i] % small->ne[i] != 0) {
            null_abort("an operand does not fit");
        }
    }
}

static ggml_tensor * two(ggml_tensor * t, float a, float b) {
    memcpy(t->op_params, &a, sizeof(a));
    memcpy(t->op_params + 1, &b, sizeof(b));
    return t;
}

extern "C" {
const char * ggml_op_name(ggml_op op) { return NAMES[op]; }
const char * ggml_op_desc(const ggml_tensor * t) { return ggml_op_name(t->op); }

ggml_tensor * ggml_add(ggml_context * ctx, ggml_tensor * a, ggml_tensor * b) {
    repeats(b, a);
    return result(ctx, GGML_OP_ADD, a, a, b);
}

ggml_tensor * ggml_mul(ggml_context * ctx, ggml_tensor * a, ggml_tensor * b) {
    repeats(b, a);
    return result(ctx, GGML_OP_MUL, a, a, b);
}

#ifndef NULL_WITHOUT
ggml_tensor * ggml_repeat(ggml_context * ctx, ggml_tensor * a, ggml_tensor * b) {
    repeats(a, b);
    return result(ctx, GGML_OP_REPEAT, b, a, nullptr);
}
#endif

ggml_tensor * ggml_repeat_4d(ggml_context * ctx, ggml_tensor * a, int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3) {
    ggml_tensor * t = null_tensor(ctx, GGML_TYPE_F32, ne0, ne1, ne2, ne3);
    repeats(a, t);
    t->op     = GGML_OP_REPEAT;
    t->src[0] = a;
    return t;
}

// The rest of the host has no use for these: a graph of this host that asks for them is a mistake.
ggml_tensor * ggml_mul_mat(ggml_context *, ggml_tensor *, ggml_tensor *) { null_abort("no MUL_MAT here"); }
ggml_tensor * ggml_reshape_4d(ggml_context *, ggml_tensor *, int64_t, int64_t, int64_t, int64_t) { null_abort("no RESHAPE here"); }
ggml_tensor * ggml_set_rows(ggml_context *, ggml_tensor *, ggml_tensor *, ggml_tensor *) { null_abort("no SET_ROWS here"); }

ggml_tensor * ggml_scale(ggml_context * ctx, ggml_tensor * a, float s) {
    ggml_tensor * t = result(ctx, GGML_OP_SCALE, a, a, nullptr);
    memcpy(t->op_params, &s, sizeof(s));
    return t;
}

ggml_tensor * ggml_scale_bias(ggml_context * ctx, ggml_tensor * a, float s, float b) { return two(result(ctx, GGML_OP_SCALE, a, a, nullptr), s, b); }
ggml_tensor * ggml_clamp(ggml_context * ctx, ggml_tensor * a, float min, float max) { return two(result(ctx, GGML_OP_CLAMP, a, a, nullptr), min, max); }
ggml_tensor * ggml_cont(ggml_context * ctx, ggml_tensor * a) { return result(ctx, GGML_OP_CONT, a, a, nullptr); }
ggml_tensor * ggml_relu(ggml_context * ctx, ggml_tensor * a) { return result(ctx, GGML_OP_RELU, a, a, nullptr); }
ggml_tensor * ggml_sqrt(ggml_context * ctx, ggml_tensor * a) { return result(ctx, GGML_OP_SQRT, a, a, nullptr); }
ggml_tensor * ggml_step(ggml_context * ctx, ggml_tensor * a) { return result(ctx, GGML_OP_STEP, a, a, nullptr); }
ggml_tensor * ggml_sigmoid(ggml_context * ctx, ggml_tensor * a) { return result(ctx, GGML_OP_SIGMOID, a, a, nullptr); }

// What calibrations are made of: the null host has no vocabulary, so that none is ever lowered here.
ggml_tensor * ggml_soft_max(ggml_context *, ggml_tensor *) { null_abort("not computed here"); }
ggml_tensor * ggml_log(ggml_context *, ggml_tensor *) { null_abort("not computed here"); }

ggml_tensor * ggml_sum_rows(ggml_context * ctx, ggml_tensor * a) {
    ggml_tensor * t = null_tensor(ctx, GGML_TYPE_F32, 1, a->ne[1], a->ne[2], a->ne[3]);
    t->op           = GGML_OP_SUM_ROWS;
    t->src[0]       = a;
    return t;
}

ggml_tensor * ggml_get_rows(ggml_context * ctx, ggml_tensor * a, ggml_tensor * b) {
    ggml_tensor * t = null_tensor(ctx, GGML_TYPE_F32, a->ne[0], b->ne[0], 1, 1);
    t->op           = GGML_OP_GET_ROWS;
    t->src[0]       = a;
    t->src[1]       = b;
    return t;
}
}
