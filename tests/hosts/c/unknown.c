/* A library that looks like llama.cpp from outside and is not: a future one, a fork, or something else. Compiled twice,
 * as the library (-DLIBRARY) and as a program on it. */
#include <stdio.h>

struct llama_model;
struct llama_context;
struct params { char bytes[160]; };

struct llama_context * llama_init_from_model(struct llama_model * model, struct params params);
const char * ggml_version(void);

#ifdef LIBRARY
struct llama_context * llama_init_from_model(struct llama_model * model, struct params params) {
    return params.bytes[0] == 7 ? (struct llama_context *) model : NULL;
}
const char * ggml_version(void) { return "99.0.0"; }
#else
int main(void) {
    static char    model;
    struct params  params  = {.bytes = {7}};
    struct llama_context * context = llama_init_from_model((struct llama_model *) &model, params);
    puts(context == (struct llama_context *) &model ? "context" : "no context");
    puts(ggml_version()[0] == '9' ? "still here" : "lost");
    return 0;
}
#endif
