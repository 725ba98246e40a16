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
];

/// The functions that the plug-in must find in a host.
pub fn needed() -> impl Iterator<Item = &'static str> {
    let lines = include_str!("../../../../ffi/generate/symbols.txt").lines();
    lines.filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        // The group `host` is what only this tool calls.
        [group, name, "required"] if group != "host" && !group.starts_with('#') => Some(name),
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
        assert!(all.contains(&"ggml_add") && all.contains(&"llama_init_from_model") && !all.contains(&"llama_decode"));
    }
}
