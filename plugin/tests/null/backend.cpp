// One CPU device, its buffers, and its backend.
#include "context.h"
#include "options.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

struct ggml_backend_buffer_type {
    const char * name;
};

struct ggml_backend_buffer {
    char * data;
    size_t size;
};

struct ggml_backend_device {};

struct ggml_backend {};

static ggml_backend_buffer_type cpu = { "CPU" };
static ggml_backend_device      device;
static ggml_backend             backend;

ggml_backend_buffer * null_allocate(ggml_tensor ** tensors, size_t n) {
    size_t size = 0;
    for (size_t i = 0; i < n; i++) {
        size += tensors[i]->data || tensors[i]->view_src ? 0 : (ggml_nbytes(tensors[i]) + 15) / 16 * 16;
    }
    null_living()->buffers++;
    auto * buffer = new ggml_backend_buffer{ static_cast<char *>(malloc(size + 1)), size };
    for (size_t i = 0; i + sizeof(float) <= size; i += sizeof(float)) {
        const float nan = NAN;
        memcpy(buffer->data + i, &nan, sizeof(nan));
    }
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        ggml_tensor * t = tensors[i];
        if (t->view_src) {
            t->buffer = t->view_src->buffer;
            t->data   = static_cast<char *>(t->view_src->data) + t->view_offs;
        } else if (!t->data) {
            t->buffer = buffer;
            t->data   = buffer->data + used;
            used += (ggml_nbytes(t) + 15) / 16 * 16;
        }
    }
    return buffer;
}

static void bounds(const ggml_tensor * t, size_t offset, size_t size) {
    if (!t->buffer || !t->data) {
        null_abort("a tensor without memory is read or written");
    }
    if (offset + size > ggml_nbytes(t)) {
        null_abort("a tensor is read or written past its end");
    }
}

extern "C" {
ggml_backend_buffer * ggml_backend_alloc_ctx_tensors_from_buft(ggml_context * ctx, ggml_backend_buffer_type *) {
    static std::atomic<int> calls{ 0 };
    const int               limit = null_settings()->no_memory;
    return limit && ++calls >= limit ? nullptr : null_allocate(ctx->tensors.data(), ctx->tensors.size());
}

ggml_backend_buffer * ggml_backend_alloc_ctx_tensors(ggml_context * ctx, ggml_backend *) {
    return ggml_backend_alloc_ctx_tensors_from_buft(ctx, &cpu);
}

void ggml_backend_buffer_free(ggml_backend_buffer * buffer) {
    if (buffer) {
        null_living()->buffers--;
        free(buffer->data);
        delete buffer;
    }
}

size_t                     ggml_backend_buffer_get_size(ggml_backend_buffer * buffer) { return buffer->size; }
ggml_backend_buffer_type * ggml_backend_buffer_get_type(ggml_backend_buffer *) { return &cpu; }
void                       ggml_backend_buffer_set_usage(ggml_backend_buffer *, int) {}
const char *               ggml_backend_buft_name(ggml_backend_buffer_type * type) { return type->name; }
bool                       ggml_backend_buft_is_host(ggml_backend_buffer_type *) { return true; }
ggml_backend_device *      ggml_backend_buft_get_device(ggml_backend_buffer_type *) { return &device; }
ggml_backend_buffer_type * ggml_backend_cpu_buffer_type() { return &cpu; }

#ifdef NULL_NO_DEVICE
ggml_backend_device * ggml_backend_dev_by_type(int) { return nullptr; }
size_t                ggml_backend_dev_count() { return 0; }
#else
ggml_backend_device * ggml_backend_dev_by_type(int type) { return type == 0 ? &device : nullptr; }
size_t                ggml_backend_dev_count() { return 1; }
#endif
ggml_backend_device *      ggml_backend_dev_get(size_t) { return &device; }
ggml_backend_buffer_type * ggml_backend_dev_buffer_type(ggml_backend_device *) { return &cpu; }
const char *               ggml_backend_dev_description(ggml_backend_device *) { return "no arithmetic to speak of"; }
ggml_backend *             ggml_backend_dev_init(ggml_backend_device *, const char *) { return &backend; }
void                       ggml_backend_dev_memory(ggml_backend_device *, size_t * free, size_t * total) { *free = *total = 0; }
#ifdef NULL_LACKS_MUL
// An accelerator without one operation. Who computes what is the same here.
const char *               ggml_backend_dev_name(ggml_backend_device *) { return "NULL0"; }
int                        ggml_backend_dev_type(ggml_backend_device *) { return 1; }
bool ggml_backend_dev_supports_op(ggml_backend_device *, const ggml_tensor * t) { return t->op != GGML_OP_MUL; }
#else
const char *               ggml_backend_dev_name(ggml_backend_device *) { return "CPU"; }
int                        ggml_backend_dev_type(ggml_backend_device *) { return 0; }
bool ggml_backend_dev_supports_op(ggml_backend_device *, const ggml_tensor *) { return true; }
#endif
void                       ggml_backend_free(ggml_backend *) {}

ggml_status ggml_backend_graph_compute(ggml_backend *, ggml_cgraph * graph) {
    null_compute(graph);
    return GGML_STATUS_SUCCESS;
}

void ggml_backend_tensor_get(const ggml_tensor * tensor, void * data, size_t offset, size_t size) {
    bounds(tensor, offset, size);
    memcpy(data, static_cast<const char *>(tensor->data) + offset, size);
}

void ggml_backend_tensor_set(ggml_tensor * tensor, const void * data, size_t offset, size_t size) {
    bounds(tensor, offset, size);
    memcpy(static_cast<char *>(tensor->data) + offset, data, size);
}
}
