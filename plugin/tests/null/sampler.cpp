// Samplers that sample nothing, and adapters that adapt nothing: what they were made from is printed.
#include "model.h"

#include <cstdio>

struct llama_sampler {
    bool                     dry;
    std::vector<std::string> breakers;
};

extern "C" {
int32_t llama_set_adapters_lora(llama_context *, void **, size_t n_adapters, float * scales) {
    null_throw(NULL_SAMPLER);
    printf("host: %zu adapters, the first by %g\n", n_adapters, n_adapters ? scales[0] : 0.0f);
    return 0;
}

int32_t llama_set_adapter_cvec(llama_context *, const float * data, size_t len, int32_t n_embd, int32_t first, int32_t last) {
    null_throw(NULL_SAMPLER);
    printf("host: a control vector of %zu numbers%s, %d wide, %d to %d\n", len, data ? "" : " that are not there", n_embd, first, last);
    return 0;
}

bool llama_set_sampler(llama_context *, int32_t seq, llama_sampler * sampler) {
    null_throw(NULL_SAMPLER);
    printf("host: sequence %d has %s\n", seq, sampler ? "a sampler" : "none");
    return sampler != nullptr;
}

llama_sampler * llama_sampler_chain_init(llama_sampler_chain_params) {
    null_throw(NULL_SAMPLER);
    return new llama_sampler{ false, {} };
}

llama_sampler * llama_sampler_init_dry(const llama_vocab *, float multiplier, float base, int32_t allowed_length,
                                       int32_t penalty_last_n, const char ** breakers, size_t n_breakers) {
    null_throw(NULL_SAMPLER);
    printf("host: dry %g %g %d %d", multiplier, base, allowed_length, penalty_last_n);
    auto * dry = new llama_sampler{ true, {} };
    for (size_t i = 0; i < n_breakers; i++) {
        dry->breakers.push_back(breakers[i]);
        printf(" '%s'", breakers[i][0] == '\n' ? "\\n" : breakers[i]);
    }
    printf("\n");
    return dry;
}

// As llama.cpp does it: another one without breakers, which gets those of the first.
llama_sampler * llama_sampler_clone(const llama_sampler * sampler) {
    if (!sampler->dry) {
        return llama_sampler_chain_init({ false });
    }
    llama_sampler * clone = llama_sampler_init_dry(nullptr, 0.5f, 1.25f, 3, 64, nullptr, 0);
    clone->breakers       = sampler->breakers;
    return clone;
}

void llama_sampler_free(llama_sampler * sampler) { delete sampler; }
}
