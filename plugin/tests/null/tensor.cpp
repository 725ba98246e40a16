// Tensors and the contexts that hold them.
#include "context.h"
#include "options.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

void null_abort(const char * why) {
    fflush(stdout);
    fprintf(stderr, "null host: %s\n", why);
    abort();
}

void * ggml_context::take(size_t bytes) {
    bytes = (bytes + 15) / 16 * 16;
    if (bytes > size - used) {
        null_abort("a ggml_context has no room");
    }
    void * place = memory + used;
    used += bytes;
    return memset(place, 0, bytes);
}

ggml_tensor * null_tensor(ggml_context * ctx, ggml_type type, int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3) {
    auto * t = static_cast<ggml_tensor *>(ctx->take(ggml_tensor_overhead()));
    t->type  = type;
    const int64_t ne[4] = { ne0, ne1, ne2, ne3 };
    size_t        nb    = type == GGML_TYPE_F16 ? 2 : 4;
    for (int i = 0; i < 4; i++) {
        t->ne[i] = ne[i];
        t->nb[i] = nb;
        nb *= ne[i];
    }
    ctx->tensors.push_back(t);
    return t;
}

static ggml_tensor * view(ggml_context * ctx, ggml_tensor * a, int64_t ne0, int64_t ne1, size_t nb1, size_t offset) {
    ggml_tensor * t = null_tensor(ctx, a->type, ne0, ne1, 1, 1);
    t->op           = GGML_OP_VIEW;
    t->nb[1]        = nb1;
    t->nb[2] = t->nb[3] = nb1 * ne1;
    t->src[0]           = a;
    t->view_src         = a->view_src ? a->view_src : a;
    t->view_offs        = offset + a->view_offs;
    t->data             = a->data ? static_cast<char *>(a->data) + offset : nullptr;
    return t;
}

extern "C" {
ggml_context * ggml_init(ggml_init_params params) {
    null_living()->contexts++;
    auto * ctx  = new ggml_context();
    ctx->owner  = !params.mem_buffer;
    ctx->size   = params.mem_size;
    ctx->memory = static_cast<char *>(params.mem_buffer ? params.mem_buffer : malloc(params.mem_size));
    return ctx;
}

void ggml_free(ggml_context * ctx) {
    if (!ctx) {
        return;
    }
    null_living()->contexts--;
    if (ctx->owner) {
        // What still points here shall be noticed.
        memset(ctx->memory, 0xdd, ctx->size);
        free(ctx->memory);
    }
    delete ctx;
}

#ifdef NULL_UNKNOWN
const char * ggml_version() { return "9.9.9"; }
#else
const char * ggml_version() { return "0.25.0"; }
#endif
size_t       ggml_tensor_overhead() { return 32 + sizeof(ggml_tensor); }

size_t ggml_nbytes(const ggml_tensor * t) {
    size_t bytes = t->type == GGML_TYPE_F16 ? 2 : 4;
    for (int i = 0; i < 4; i++) {
        if (t->ne[i] <= 0) {
            return 0;
        }
        bytes += (t->ne[i] - 1) * t->nb[i];
    }
    return bytes;
}

ggml_tensor * ggml_new_tensor_1d(ggml_context * ctx, ggml_type type, int64_t a) { return null_tensor(ctx, type, a, 1, 1, 1); }
ggml_tensor * ggml_new_tensor_2d(ggml_context * ctx, ggml_type type, int64_t a, int64_t b) { return null_tensor(ctx, type, a, b, 1, 1); }
ggml_tensor * ggml_new_tensor_3d(ggml_context * ctx, ggml_type type, int64_t a, int64_t b, int64_t c) { return null_tensor(ctx, type, a, b, c, 1); }
ggml_tensor * ggml_new_tensor_4d(ggml_context * ctx, ggml_type type, int64_t a, int64_t b, int64_t c, int64_t d) { return null_tensor(ctx, type, a, b, c, d); }
ggml_tensor * ggml_dup_tensor(ggml_context * ctx, const ggml_tensor * t) { return null_tensor(ctx, t->type, t->ne[0], t->ne[1], t->ne[2], t->ne[3]); }
ggml_tensor * ggml_view_1d(ggml_context * ctx, ggml_tensor * a, int64_t ne0, size_t offset) { return view(ctx, a, ne0, 1, ne0 * a->nb[0], offset); }
ggml_tensor * ggml_view_2d(ggml_context * ctx, ggml_tensor * a, int64_t ne0, int64_t ne1, size_t nb1, size_t offset) { return view(ctx, a, ne0, ne1, nb1, offset); }

ggml_tensor * ggml_view_3d(ggml_context * ctx, ggml_tensor * a, int64_t ne0, int64_t ne1, int64_t ne2, size_t nb1, size_t nb2, size_t offset) {
    ggml_tensor * t = view(ctx, a, ne0, ne1, nb1, offset);
    t->ne[2]        = ne2;
    t->nb[2]        = nb2;
    t->nb[3]        = nb2 * ne2;
    return t;
}

ggml_tensor * ggml_set_name(ggml_tensor * t, const char * name) {
    strncpy(t->name, name, sizeof(t->name) - 1);
    t->name[sizeof(t->name) - 1] = 0;
    return t;
}

void ggml_set_input(ggml_tensor * t) { t->flags |= GGML_TENSOR_FLAG_INPUT; }
void ggml_set_output(ggml_tensor * t) { t->flags |= GGML_TENSOR_FLAG_OUTPUT; }
}
