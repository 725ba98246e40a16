//! The functions that the plug-in stands in front of, and those it calls.

/// A function that the plug-in stands in front of.
pub struct Hook {
    /// Its symbol.
    pub symbol: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// Calls to it come from llama.cpp itself, so they must go through the loader there.
    pub from_inside: bool,
    /// Without it nothing can be done.
    pub required: bool,
}

const fn hook(symbol: &'static str, name: &'static str, from_inside: bool, required: bool) -> Hook {
    Hook { symbol, name, from_inside, required }
}

/// All of them, as in the plug-in's `hook/entry.rs`.
pub const HOOKS: &[Hook] = &[
    hook("llama_init_from_model", "llama_init_from_model", false, true),
    hook("_ZN13llama_contextC1ERK11llama_model20llama_context_params", "llama_context::llama_context", true, true),
    hook("_ZN13llama_contextD1Ev", "llama_context::~llama_context", true, true),
    hook(
        "_ZN13llama_context14process_ubatchERK12llama_ubatch14llm_graph_typeP22llama_memory_context_iR11ggml_status",
        "llama_context::process_ubatch",
        true,
        true,
    ),
    hook(
        "_ZN13llama_context13graph_reserveEjjjPK22llama_memory_context_ibPm",
        "llama_context::graph_reserve",
        true,
        true,
    ),
    hook("ggml_backend_sched_reserve", "ggml_backend_sched_reserve", true, true),
    hook("ggml_backend_sched_reserve_size", "ggml_backend_sched_reserve_size", true, false),
    hook("ggml_backend_sched_split_graph", "ggml_backend_sched_split_graph", true, false),
    hook("ggml_backend_sched_alloc_graph", "ggml_backend_sched_alloc_graph", true, true),
    hook("ggml_backend_sched_graph_compute_async", "ggml_backend_sched_graph_compute_async", true, true),
    hook("ggml_backend_sched_free", "ggml_backend_sched_free", true, true),
    hook("_ZN16llm_graph_result9can_reuseERK16llm_graph_params", "llm_graph_result::can_reuse", true, true),
    hook("_ZN13llama_context6decodeERK11llama_batch", "llama_context::decode", true, true),
    hook("_ZN13llama_context6decodeERK15llama_batch_ext", "llama_context::decode(llama_batch_ext)", true, false),
    hook("llama_memory_clear", "llama_memory_clear", false, false),
    hook("llama_memory_seq_rm", "llama_memory_seq_rm", false, false),
    hook("llama_memory_seq_cp", "llama_memory_seq_cp", false, false),
    hook("llama_memory_seq_keep", "llama_memory_seq_keep", false, false),
    hook("llama_memory_seq_add", "llama_memory_seq_add", false, false),
    hook("llama_memory_seq_div", "llama_memory_seq_div", false, false),
    hook("llama_memory_seq_pos_min", "llama_memory_seq_pos_min", false, false),
    hook("llama_state_seq_get_size_ext", "llama_state_seq_get_size_ext", false, false),
    hook("llama_state_seq_get_data_ext", "llama_state_seq_get_data_ext", false, false),
    hook("llama_state_seq_set_data_ext", "llama_state_seq_set_data_ext", false, false),
    hook("llama_state_seq_save_file", "llama_state_seq_save_file", false, false),
    hook("llama_state_seq_load_file", "llama_state_seq_load_file", false, false),
    hook("llama_state_set_data", "llama_state_set_data", false, false),
    hook("llama_state_load_file", "llama_state_load_file", false, false),
    hook("llama_set_sampler", "llama_set_sampler", false, false),
    hook("llama_sampler_init_dry", "llama_sampler_init_dry", false, false),
    hook("llama_sampler_chain_init", "llama_sampler_chain_init", false, false),
    hook("ggml_graph_overhead_custom", "ggml_graph_overhead_custom", true, false),
    hook("ggml_new_graph_custom", "ggml_new_graph_custom", true, false),
    hook("ggml_backend_sched_new", "ggml_backend_sched_new", true, false),
    hook("_ZN18llama_batch_allocr12split_simpleEj", "llama_batch_allocr::split_simple", true, false),
    hook("_ZN18llama_batch_allocr11split_equalEjbj", "llama_batch_allocr::split_equal", true, false),
    hook("llama_set_adapters_lora", "llama_set_adapters_lora", false, false),
    hook("llama_set_adapter_cvec", "llama_set_adapter_cvec", false, false),
];

/// The functions that the plug-in must find in a host.
pub fn needed() -> impl Iterator<Item = &'static str> {
    let lines = include_str!("../../../../ffi/generate/symbols.txt").lines();
    lines.filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        // The group `host` is what only this tool calls, `contrast` and `join` what one table of a profile needs.
        [group, name, "required"] if !["host", "contrast", "join"].contains(&group) && !group.starts_with('#') => {
            Some(name)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_plug_ins() {
        let entries = include_str!("../../../../plugin/src/hook/entry.rs");
        let lines = entries.lines().filter_map(|l| {
            let mut quoted = l.trim().split('"');
            let (head, symbol, tail) = (quoted.next()?, quoted.next()?, quoted.next()?);
            let number = head.split_whitespace().next()?;
            number.parse::<u32>().ok()?;
            Some((symbol, tail.trim_start().starts_with("required")))
        });
        let theirs: Vec<_> = lines.collect();
        let ours: Vec<_> = HOOKS.iter().map(|h| (h.symbol, h.required)).collect();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn the_needed_functions_are_read() {
        let all: Vec<_> = needed().collect();
        assert!(all.contains(&"ggml_add") && all.contains(&"llama_init_from_model") && !all.contains(&"llama_free"));
    }
}
