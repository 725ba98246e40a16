// The scheduler: refuses, loudly, what the real one would crash on or compute wrongly.
#include "options.h"
#include "ggml.h"

#include <algorithm>
#include <vector>

struct ggml_backend_sched {
    size_t                graph_size;
    ggml_cgraph *         allocated = nullptr;
    ggml_backend_buffer * buffer    = nullptr;
};

// Every source of a node is a node before it or a leaf that the graph lists.
static void check(const ggml_cgraph * graph) {
    for (int n = 0; n < graph->n_nodes; n++) {
        for (const ggml_tensor * source : graph->nodes[n]->src) {
            ggml_tensor ** list = source && source->op == GGML_OP_NONE ? graph->leafs : graph->nodes;
            ggml_tensor ** end  = list + (list == graph->leafs ? graph->n_leafs : n);
            if (source && std::find(list, end, source) == end) {
                null_abort("a node reads what the graph does not list before it");
            }
        }
    }
}

static void enter(const char * call, const ggml_backend_sched * sched, const ggml_cgraph * graph) {
    if (null_settings()->print) {
        null_print(call, graph);
    }
    if (static_cast<size_t>(graph->n_nodes + graph->n_leafs) > sched->graph_size) {
        null_abort("the scheduler has no room for the graph");
    }
    check(graph);
}

extern "C" {
ggml_backend_sched * ggml_backend_sched_new(ggml_backend **, ggml_backend_buffer_type **, int, size_t graph_size, bool, bool) {
    return new ggml_backend_sched{ graph_size };
}

void ggml_backend_sched_reset(ggml_backend_sched * sched) {
    ggml_backend_buffer_free(sched->buffer);
    sched->buffer    = nullptr;
    sched->allocated = nullptr;
}

void ggml_backend_sched_free(ggml_backend_sched * sched) {
    if (sched) {
        ggml_backend_sched_reset(sched);
        delete sched;
    }
}

// ggml's functions call each other through the loader, so that a hook meets a graph again.
void ggml_backend_sched_split_graph(ggml_backend_sched * sched, ggml_cgraph * graph) { enter("split_graph", sched, graph); }

void ggml_backend_sched_reserve_size(ggml_backend_sched * sched, ggml_cgraph * graph, size_t * sizes) {
    ggml_backend_sched_split_graph(sched, graph);
    sizes[0] = 1;
}

bool ggml_backend_sched_reserve(ggml_backend_sched * sched, ggml_cgraph * graph) {
    null_throw(NULL_RESERVE);
    ggml_backend_sched_split_graph(sched, graph);
    return true;
}

bool ggml_backend_sched_alloc_graph(ggml_backend_sched * sched, ggml_cgraph * graph) {
    null_throw(NULL_ALLOC);
    if (sched->allocated) {
        null_abort("a graph is allocated and the scheduler was not reset");
    }
    ggml_backend_sched_split_graph(sched, graph);
    std::vector<ggml_tensor *> tensors(graph->leafs, graph->leafs + graph->n_leafs);
    tensors.insert(tensors.end(), graph->nodes, graph->nodes + graph->n_nodes);
    sched->buffer    = null_allocate(tensors.data(), tensors.size());
    sched->allocated = graph;
    return true;
}

ggml_status ggml_backend_sched_graph_compute_async(ggml_backend_sched * sched, ggml_cgraph * graph) {
    null_throw(NULL_COMPUTE);
    if (sched->allocated != graph) {
        null_abort("a graph is computed that is not allocated");
    }
    null_compute(graph);
    return GGML_STATUS_SUCCESS;
}

#ifndef NULL_WITHOUT
void ggml_backend_sched_synchronize(ggml_backend_sched *) {}
#endif
}
