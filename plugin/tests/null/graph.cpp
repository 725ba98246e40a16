// Graphs: lists of nodes in order of execution, and of the leafs that they read.
#include "context.h"

#include <algorithm>
#include <cstdio>

extern "C" {
size_t ggml_graph_overhead_custom(size_t size, bool) { return 32 + sizeof(ggml_cgraph) + 2 * size * sizeof(ggml_tensor *); }

ggml_cgraph * ggml_new_graph_custom(ggml_context * ctx, size_t size, bool) {
    auto * graph = static_cast<ggml_cgraph *>(ctx->take(sizeof(ggml_cgraph)));
    graph->size  = static_cast<int>(size);
    graph->nodes = static_cast<ggml_tensor **>(ctx->take(size * sizeof(ggml_tensor *)));
    graph->leafs = static_cast<ggml_tensor **>(ctx->take(size * sizeof(ggml_tensor *)));
    return graph;
}

void ggml_graph_add_node(ggml_cgraph * graph, ggml_tensor * tensor) {
    if (graph->n_nodes >= graph->size) {
        null_abort("a graph has no room for a node");
    }
    graph->nodes[graph->n_nodes++] = tensor;
}

void ggml_build_forward_expand(ggml_cgraph * graph, ggml_tensor * tensor) {
    auto known = [&](ggml_tensor ** list, int n) { return std::find(list, list + n, tensor) != list + n; };
    if (known(graph->nodes, graph->n_nodes) || known(graph->leafs, graph->n_leafs)) {
        return;
    }
    for (ggml_tensor * source : tensor->src) {
        if (source) {
            ggml_build_forward_expand(graph, source);
        }
    }
    if (tensor->op == GGML_OP_NONE) {
        if (graph->n_leafs >= graph->size) {
            null_abort("a graph has no room for a leaf");
        }
        graph->leafs[graph->n_leafs++] = tensor;
        return;
    }
#ifndef NULL_NO_COMPUTE_FLAG
    tensor->flags |= GGML_TENSOR_FLAG_COMPUTE;
#endif
    ggml_graph_add_node(graph, tensor);
}

// Tells a generation of ggml; nobody calls it.
void ggml_build_forward_order(ggml_cgraph *, int) {}

int            ggml_graph_size(ggml_cgraph * graph) { return graph->size; }
int            ggml_graph_n_nodes(ggml_cgraph * graph) { return graph->n_nodes; }
ggml_tensor *  ggml_graph_node(ggml_cgraph * graph, int i) { return graph->nodes[i < 0 ? graph->n_nodes + i : i]; }
ggml_tensor ** ggml_graph_nodes(ggml_cgraph * graph) { return graph->nodes; }
}

void null_print(const char * call, const ggml_cgraph * graph) {
    printf("%s: %d nodes\n", call, graph->n_nodes);
    for (int i = 0; i < graph->n_nodes; i++) {
        const ggml_tensor * t = graph->nodes[i];
        printf("  %s = %s(", t->name, ggml_op_name(t->op));
        for (int s = 0; s < 10 && t->src[s]; s++) {
            printf("%s%s", s ? ", " : "", t->src[s]->name);
        }
        printf(") [%lld, %lld]%s\n", static_cast<long long>(t->ne[0]), static_cast<long long>(t->ne[1]),
               t->flags & GGML_TENSOR_FLAG_COMPUTE ? "" : " not computed");
    }
    printf("  leafs:");
    for (int i = 0; i < graph->n_leafs; i++) {
        printf(" %s%s", graph->leafs[i]->name, graph->leafs[i]->flags & GGML_TENSOR_FLAG_INPUT ? " (input)" : "");
    }
    printf("\n");
}
