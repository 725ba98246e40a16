//! What the devices of a context do not compute: asked when its first graph is rewritten, before any token.
//!
//! ggml's scheduler gives such an operation to the CPU, which is right and slow: what it reads and writes crosses to the
//! host's memory and back. Where a block lies is known by one of its weights.

use std::ffi::CStr;

use evenkeel_core::lower::{Leaf, Patch, Ref, Substitution};
use evenkeel_ffi::generated::types::*;

use super::{library::Host, view::Viewed};
use crate::{guard::mutant, log, state::Context};

/// One operation that one device lacks.
struct Lacking {
    device: ggml_backend_dev_t,
    op: String,
    /// Places in the patch.
    sites: Vec<usize>,
}

/// What falls back to the CPU, as sentences; also said in the log.
///
/// # Safety
/// `made` are the nodes of `patch`, made from `viewed`, with their sources; none needs memory yet.
pub unsafe fn found(
    host: &Host,
    viewed: &Viewed,
    patch: &Patch,
    made: &[(usize, *mut ggml_tensor)],
    context: &Context,
) -> Vec<String> {
    let mut lacking: Vec<Lacking> = Vec::new();
    for &(place, node) in made {
        let near = near(patch, &patch.substitutions[place]).map(|id| viewed.tensor(id));
        // SAFETY: the caller's promise; a weight's buffer and its device live as long as the model.
        unsafe {
            let Some(device) = near.and_then(|weight| device(host, weight)) else { continue };
            let op = op(host, node);
            if computes(host, device, node, &op) {
                continue;
            }
            match lacking.iter_mut().find(|l| l.device == device && l.op == op) {
                Some(known) if known.sites.contains(&place) => {}
                Some(known) => known.sites.push(place),
                None => lacking.push(Lacking { device, op, sites: vec![place] }),
            }
        }
    }
    let sentences: Vec<String> = lacking.iter().map(|l| sentence(host, viewed, patch, l)).collect();
    for s in &sentences {
        log::warning!("context {} ({}): {s}", context.id, context.model);
    }
    sentences
}

/// A node of position-invariant attention, its layer, and a tensor of that layer's cache.
pub type OfLayer = (u32, *mut ggml_tensor, *mut ggml_tensor);

/// The same of the nodes that a region is evaluated with: `made`, in the order of layers.
///
/// # Safety
/// As [`found`].
pub unsafe fn of_attention(host: &Host, made: &[OfLayer], context: &Context) -> Vec<String> {
    let mut lacking: Vec<(ggml_backend_dev_t, String, Vec<u32>, usize)> = Vec::new();
    for &(layer, cache, node) in made {
        // SAFETY: the caller's promise.
        unsafe {
            let Some(device) = device(host, cache) else { continue };
            let op = op(host, node);
            if computes(host, device, node, &op) {
                continue;
            }
            let bytes = (host.lib.ggml.ggml_nbytes)(node) + (host.lib.ggml.ggml_nbytes)((*node).src[0]);
            match lacking.iter_mut().find(|l| l.0 == device && l.1 == op) {
                Some((_, _, layers, crosses)) => {
                    *crosses += bytes;
                    if layers.last() != Some(&layer) {
                        layers.push(layer);
                    }
                }
                None => lacking.push((device, op, vec![layer], bytes)),
            }
        }
    }
    let sentence = |(device, op, layers, bytes): &(_, String, Vec<u32>, usize)| {
        let blocks: Vec<String> = layers.iter().map(u32::to_string).collect();
        format!(
            "{} does not compute {op}, which segments need: at blocks {} the CPU does, which costs {:.1} KiB to the host's memory and \
             back for this region, and a wait of both at each of these {} blocks",
            name(host, *device),
            blocks.join(", "),
            *bytes as f64 / 1024.0,
            blocks.len()
        )
    };
    let sentences: Vec<String> = lacking.iter().map(sentence).collect();
    for s in &sentences {
        log::warning!("context {} ({}): {s}", context.id, context.model);
    }
    sentences
}

/// The name of a node's operation.
unsafe fn op(host: &Host, node: *mut ggml_tensor) -> String {
    // SAFETY: a static C string.
    unsafe { CStr::from_ptr((host.lib.ggml.ggml_op_desc)(node)).to_string_lossy().into_owned() }
}

fn name(host: &Host, device: ggml_backend_dev_t) -> String {
    // SAFETY: a device's name is a static C string.
    unsafe { CStr::from_ptr((host.lib.backend.ggml_backend_dev_name)(device)).to_string_lossy().into_owned() }
}

unsafe fn computes(host: &Host, device: ggml_backend_dev_t, node: *mut ggml_tensor, op: &str) -> bool {
    // No device of the tests lacks anything by itself.
    let pretended = mutant("lacks-sub") && op == "SUB";
    // SAFETY: the caller's promise.
    !pretended && unsafe { (host.lib.backend.ggml_backend_dev_supports_op)(device, node) }
}

/// A weight of the block that a substitution stands in.
fn near(patch: &Patch, s: &Substitution) -> Option<evenkeel_core::lower::TensorId> {
    let leafs = s.nodes.iter().flat_map(|node| node.reads()).filter_map(|r| match r {
        Ref::Leaf(i) => patch.leafs.get(i as usize),
        _ => None,
    });
    leafs
        .filter_map(|leaf| match leaf {
            Leaf::Constant { near, .. } => *near,
            _ => None,
        })
        .next()
}

/// The device that computes beside this weight; `None` for the CPU, which computes everything.
unsafe fn device(host: &Host, weight: *mut ggml_tensor) -> Option<ggml_backend_dev_t> {
    let backend = &host.lib.backend;
    // SAFETY: the caller's promise.
    unsafe {
        if weight.is_null() || (*weight).buffer.is_null() {
            return None;
        }
        let buft = (backend.ggml_backend_buffer_get_type)((*weight).buffer);
        let device = (backend.ggml_backend_buft_get_device)(buft);
        let cpu = device.is_null() || (backend.ggml_backend_dev_type)(device) == GGML_BACKEND_DEVICE_TYPE_CPU;
        (!cpu).then_some(device)
    }
}

fn sentence(host: &Host, viewed: &Viewed, patch: &Patch, lacking: &Lacking) -> String {
    let device = name(host, lacking.device);
    let op = &lacking.op;
    let targets: Vec<&Substitution> = lacking.sites.iter().map(|i| &patch.substitutions[*i]).collect();
    let width = targets.first().map_or(0, |s| viewed.view.tensor(s.target).ne[0]);
    let blocks: Vec<String> = targets.iter().map(|s| s.layer.to_string()).collect();
    format!(
        "{device} does not compute {op}: at blocks {} the CPU does, which costs up to {:.1} KiB to the host's memory and back for \
         each row of each of these {} blocks, and a wait of both at each",
        blocks.join(", "),
        (2 * 4 * width) as f64 / 1024.0,
        blocks.len()
    )
}
