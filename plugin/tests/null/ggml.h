// The part of ggml that the null host pretends to be: names, signatures and struct layouts as in ggml 0.25, code our own.
//
// Variants, by -D:
//   NULL_TENSOR_LARGER     another sizeof(ggml_tensor)
//   NULL_TENSOR_SWAPPED    the same size, two fields swapped
//   NULL_NO_COMPUTE_FLAG   nodes carry no COMPUTE flag (ggml before 2026)
//   NULL_NO_DEVICE         no CPU device is registered
//   NULL_WRONG_ADD         ADD computes something else
//   NULL_WITHOUT           two functions are missing, of different groups
//   NULL_UNKNOWN           a version that nobody has heard of
//   NULL_PARAMS_SHIFTED    llama_context_params begins with a field that nobody knows
#pragma once

#include <cstddef>
#include <cstdint>

// The numbers are not those of any ggml, on purpose.
enum ggml_op {
    GGML_OP_NONE, GGML_OP_GET_ROWS, GGML_OP_VIEW, GGML_OP_SCALE, GGML_OP_MUL, GGML_OP_ADD, GGML_OP_REPEAT,
    GGML_OP_SUM_ROWS, GGML_OP_CLAMP, GGML_OP_CONT, GGML_OP_RELU, GGML_OP_SQRT, GGML_OP_STEP, GGML_OP_SIGMOID,
};
enum ggml_type { GGML_TYPE_F32 = 0, GGML_TYPE_F16 = 1, GGML_TYPE_I32 = 26 };
enum ggml_status { GGML_STATUS_FAILED = -1, GGML_STATUS_SUCCESS = 0 };
enum { GGML_TENSOR_FLAG_INPUT = 1, GGML_TENSOR_FLAG_OUTPUT = 2, GGML_TENSOR_FLAG_COMPUTE = 16 };

struct ggml_backend_buffer_type;
struct ggml_backend_buffer;
struct ggml_backend_device;
struct ggml_backend;
struct ggml_backend_sched;
struct ggml_context;

struct ggml_tensor {
    ggml_type             type;
    ggml_backend_buffer * buffer;
    int64_t               ne[4];
    size_t                nb[4];
    ggml_op               op;
#ifdef NULL_TENSOR_SWAPPED
    int32_t flags;
    int32_t op_params[16];
#else
    int32_t op_params[16];
    int32_t flags;
#endif
    ggml_tensor * src[10];
    ggml_tensor * view_src;
    size_t        view_offs;
    void *        data;
    char          name[64];
    void *        extra;
#ifdef NULL_TENSOR_LARGER
    char padding[24];
#else
    char padding[8];
#endif
};

struct ggml_cgraph {
    int            size;
    int            n_nodes;
    int            n_leafs;
    ggml_tensor ** nodes;
    ggml_tensor ** leafs;
};

struct ggml_init_params {
    size_t mem_size;
    void * mem_buffer;
    bool   no_alloc;
};

extern "C" {
ggml_context * ggml_init(ggml_init_params params);
void           ggml_free(ggml_context * ctx);
size_t         ggml_tensor_overhead();
size_t         ggml_graph_overhead_custom(size_t size, bool grads);
size_t         ggml_nbytes(const ggml_tensor * tensor);
const char *   ggml_op_name(ggml_op op);
ggml_tensor *  ggml_new_tensor_1d(ggml_context * ctx, ggml_type type, int64_t ne0);
ggml_tensor *  ggml_new_tensor_2d(ggml_context * ctx, ggml_type type, int64_t ne0, int64_t ne1);
ggml_tensor *  ggml_new_tensor_3d(ggml_context * ctx, ggml_type type, int64_t ne0, int64_t ne1, int64_t ne2);
ggml_tensor *  ggml_set_name(ggml_tensor * tensor, const char * name);
void           ggml_set_input(ggml_tensor * tensor);
void           ggml_set_output(ggml_tensor * tensor);
ggml_tensor *  ggml_add(ggml_context * ctx, ggml_tensor * a, ggml_tensor * b);
ggml_tensor *  ggml_mul(ggml_context * ctx, ggml_tensor * a, ggml_tensor * b);
ggml_tensor *  ggml_scale(ggml_context * ctx, ggml_tensor * a, float s);
ggml_tensor *  ggml_get_rows(ggml_context * ctx, ggml_tensor * a, ggml_tensor * b);
ggml_tensor *  ggml_set_rows(ggml_context * ctx, ggml_tensor * a, ggml_tensor * b, ggml_tensor * c);
ggml_tensor *  ggml_soft_max(ggml_context * ctx, ggml_tensor * a);
ggml_tensor *  ggml_log(ggml_context * ctx, ggml_tensor * a);

ggml_cgraph * ggml_new_graph_custom(ggml_context * ctx, size_t size, bool grads);
void          ggml_build_forward_expand(ggml_cgraph * graph, ggml_tensor * tensor);

ggml_backend_buffer *      ggml_backend_alloc_ctx_tensors_from_buft(ggml_context * ctx, ggml_backend_buffer_type * buft);
void                       ggml_backend_buffer_free(ggml_backend_buffer * buffer);
ggml_backend_buffer_type * ggml_backend_cpu_buffer_type();
void ggml_backend_tensor_set(ggml_tensor * tensor, const void * data, size_t offset, size_t size);

ggml_backend_sched * ggml_backend_sched_new(ggml_backend **, ggml_backend_buffer_type **, int, size_t graph_size, bool, bool);
void                 ggml_backend_sched_free(ggml_backend_sched * sched);
void                 ggml_backend_sched_reset(ggml_backend_sched * sched);
bool                 ggml_backend_sched_reserve(ggml_backend_sched * sched, ggml_cgraph * graph);
void                 ggml_backend_sched_reserve_size(ggml_backend_sched * sched, ggml_cgraph * graph, size_t * sizes);
void                 ggml_backend_sched_split_graph(ggml_backend_sched * sched, ggml_cgraph * graph);
bool                 ggml_backend_sched_alloc_graph(ggml_backend_sched * sched, ggml_cgraph * graph);
ggml_status          ggml_backend_sched_graph_compute_async(ggml_backend_sched * sched, ggml_cgraph * graph);
void                 ggml_backend_sched_synchronize(ggml_backend_sched * sched);
}

// For the files of the null host among themselves.
[[noreturn]] void null_abort(const char * why);
void              null_compute(ggml_cgraph * graph);
// Gives `n` tensors data in one new buffer filled with NaN; views get their source's.
ggml_backend_buffer * null_allocate(ggml_tensor ** tensors, size_t n);
void                  null_print(const char * call, const ggml_cgraph * graph);
