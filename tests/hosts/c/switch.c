#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "host.h"

/* What a program does between a prompt and what follows: it takes back the last tokens of every sequence, and chooses another
 * profile. `hidden`: it looks llama.cpp's functions up by itself, as Python's ctypes does, so that nobody sees the calls. */
void switch_over(struct llama_context * context, const struct options * options) {
    bool (*remove)(llama_memory_t, llama_seq_id, llama_pos, llama_pos) = llama_memory_seq_rm;
    if (options->hidden) {
        void * library = dlopen(options->hidden, RTLD_NOW | RTLD_NOLOAD | RTLD_LOCAL);
        if (!library) {
            fail("dlopen", dlerror());
        }
        remove = (bool (*)(llama_memory_t, llama_seq_id, llama_pos, llama_pos)) dlsym(library, "llama_memory_seq_rm");
    }
    for (int s = 0; s < options->sequences; s++) {
        if (!remove(llama_get_memory(context), s, options->prompt - options->back, -1)) {
            fail("llama_memory_seq_rm failed", NULL);
        }
        if (options->later) {
            char list[80];
            snprintf(list, sizeof(list), "%d=%s", s, options->later);
            choose(context, list);
        }
    }
}
