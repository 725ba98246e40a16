//! A plan's vectors on the host's devices: allocated once per context, read by all of its graphs.

use std::{
    ffi::{CString, c_void},
    sync::Arc,
};

use evenkeel_core::plan::HELD_SLOTS;
use evenkeel_ffi::{generated::types::*, library::Library};
use rustc_hash::FxHashMap;

use super::library::Host;

/// One constant that a graph needs.
pub struct Wanted<'a> {
    /// Its name, unique within the plan.
    pub name: &'a str,
    /// Its values.
    pub data: &'a Arc<[f32]>,
    /// How many rows they are, one after the other.
    pub rows: u32,
    /// Whether it is written by the graph: a row for each of [`Wanted::rows`], of which `data` are the first values.
    pub held: bool,
    /// A weight that lies where it should lie, or null.
    pub near: *mut ggml_tensor,
}

impl Wanted<'_> {
    /// Its values, all of them.
    fn len(&self) -> usize {
        if self.held { self.rows as usize } else { self.data.len() }
    }
}

/// The constants of one context.
#[derive(Default)]
pub struct Constants {
    /// By where the values lie here, which the stores keep so.
    tensors: FxHashMap<usize, usize>,
    stores: Vec<Store>,
}

/// Tensors in one buffer.
struct Store {
    host: Arc<Host>,
    ctx: *mut ggml_context,
    buffer: ggml_backend_buffer_t,
    data: Vec<Arc<[f32]>>,
}

fn key(data: &Arc<[f32]>) -> usize {
    data.as_ptr() as usize
}

// SAFETY: ggml's contexts and buffers have no thread affinity, and a store is only touched under its owner's lock.
unsafe impl Send for Store {}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: both were made below, are freed once, and no graph that reads them is evaluated any more: the
        // owner waited for the scheduler before it let go.
        unsafe {
            if !self.buffer.is_null() {
                (self.host.lib.backend.ggml_backend_buffer_free)(self.buffer);
            }
            (self.host.lib.ggml.ggml_free)(self.ctx);
        }
    }
}

/// Memory that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{bytes} bytes for vectors could not be allocated in {place}")]
pub struct NoMemory {
    bytes: usize,
    place: String,
}

impl Constants {
    /// The tensor of these values, if it is allocated.
    pub fn get(&self, data: &Arc<[f32]>) -> Option<*mut ggml_tensor> {
        self.tensors.get(&key(data)).map(|&t| t as *mut ggml_tensor)
    }

    /// Takes out what nothing but this still holds: vectors of plans that are gone. No graph that reads them may be
    /// evaluated any more.
    pub fn take_unused(&mut self) -> Vec<impl Drop + use<>> {
        let unused = |store: &mut Store| store.data.iter().all(|data| Arc::strong_count(data) == 1);
        let gone: Vec<Store> = self.stores.extract_if(.., unused).collect();
        for data in gone.iter().flat_map(|store| &store.data) {
            self.tensors.remove(&key(data));
        }
        gone
    }

    /// Allocates what is not there yet, one buffer per place, and returns the bytes taken by place.
    ///
    /// # Errors
    /// [`NoMemory`]: nothing of that place is kept.
    pub fn ensure(&mut self, host: &Arc<Host>, wanted: &[Wanted]) -> Result<Vec<(String, usize)>, NoMemory> {
        let mut places: Vec<(ggml_backend_buffer_type_t, Vec<&Wanted>)> = Vec::new();
        for w in wanted.iter().filter(|w| !self.tensors.contains_key(&key(w.data))) {
            let place = if w.held { writable(&host.lib, w.near) } else { place(&host.lib, w.near) };
            match places.iter_mut().find(|(p, _)| *p == place) {
                Some((_, list)) => list.push(w),
                None => places.push((place, vec![w])),
            }
        }
        let mut taken = Vec::new();
        for (place, list) in places {
            let (store, tensors) = allocate(host, place, &list)?;
            // SAFETY: the place is a buffer type of this library.
            let bytes = unsafe { (host.lib.backend.ggml_backend_buffer_get_size)(store.buffer) };
            taken.push((name_of(&host.lib, place), bytes));
            self.stores.push(store);
            self.tensors.extend(list.iter().zip(tensors).map(|(w, t)| (key(w.data), t as usize)));
        }
        Ok(taken)
    }
}

/// Where a constant goes: beside a weight of its block, so that the block's device reads it without a copy.
fn place(lib: &Library, near: *mut ggml_tensor) -> ggml_backend_buffer_type_t {
    // SAFETY: `near` is null or a weight of a loaded model, whose buffer lives as long as the model.
    unsafe {
        let cpu = (lib.backend.ggml_backend_cpu_buffer_type)();
        if near.is_null() || (*near).buffer.is_null() {
            return cpu;
        }
        let buft = (lib.backend.ggml_backend_buffer_get_type)((*near).buffer);
        // Weights mapped from the file, or pinned for a GPU that does not compute this block: ordinary memory does.
        if (lib.backend.ggml_backend_buft_is_host)(buft) { cpu } else { buft }
    }
}

/// The same for a tensor that the graph writes: where the device cannot do that, ordinary memory, which the CPU can.
fn writable(lib: &Library, near: *mut ggml_tensor) -> ggml_backend_buffer_type_t {
    let place = place(lib, near);
    // SAFETY: the context has room for the tensors that are made in it, which are only looked at.
    unsafe {
        let cpu = (lib.backend.ggml_backend_cpu_buffer_type)();
        let device = (lib.backend.ggml_backend_buft_get_device)(place);
        let params = ggml_init_params {
            mem_size: 4 * (lib.ggml.ggml_tensor_overhead)(),
            mem_buffer: std::ptr::null_mut(),
            no_alloc: true,
        };
        let ctx = (lib.ggml.ggml_init)(params);
        if ctx.is_null() || place == cpu || device.is_null() {
            (lib.ggml.ggml_free)(ctx);
            return cpu;
        }
        let state = (lib.ggml.ggml_new_tensor_2d)(ctx, GGML_TYPE_F32, 1, i64::from(HELD_SLOTS));
        let value = (lib.ggml.ggml_new_tensor_2d)(ctx, GGML_TYPE_F32, 1, 1);
        let slot = (lib.ggml.ggml_new_tensor_1d)(ctx, GGML_TYPE_I64, 1);
        let write = (lib.ggml.ggml_set_rows)(ctx, state, value, slot);
        let can = (lib.backend.ggml_backend_dev_supports_op)(device, write);
        (lib.ggml.ggml_free)(ctx);
        if can { place } else { cpu }
    }
}

fn name_of(lib: &Library, place: ggml_backend_buffer_type_t) -> String {
    // SAFETY: a buffer type's name is a static C string.
    unsafe { std::ffi::CStr::from_ptr((lib.backend.ggml_backend_buft_name)(place)) }.to_string_lossy().into_owned()
}

fn allocate(
    host: &Arc<Host>,
    place: ggml_backend_buffer_type_t,
    list: &[&Wanted],
) -> Result<(Store, Vec<*mut ggml_tensor>), NoMemory> {
    let lib = &host.lib;
    // SAFETY: the context has room for exactly the tensors that are made; each is written with its own size.
    unsafe {
        let params = ggml_init_params {
            mem_size: (lib.ggml.ggml_tensor_overhead)() * list.len(),
            mem_buffer: std::ptr::null_mut(),
            no_alloc: true,
        };
        let ctx = (lib.ggml.ggml_init)(params);
        let data = list.iter().map(|w| w.data.clone()).collect();
        let mut store = Store { host: host.clone(), ctx, buffer: std::ptr::null_mut(), data };
        let bytes = list.iter().map(|w| size_of::<f32>() * w.len()).sum();
        if ctx.is_null() {
            return Err(NoMemory { bytes, place: name_of(lib, place) });
        }
        let mut tensors = Vec::new();
        for w in list {
            let t = match i64::from(w.rows) {
                1 => (lib.ggml.ggml_new_tensor_1d)(ctx, GGML_TYPE_F32, w.len() as i64),
                n => (lib.ggml.ggml_new_tensor_2d)(ctx, GGML_TYPE_F32, w.len() as i64 / n, n),
            };
            let name = CString::new(w.name).unwrap_or_default();
            (lib.ggml.ggml_set_name)(t, name.as_ptr());
            tensors.push(t);
        }
        store.buffer = (lib.backend.ggml_backend_alloc_ctx_tensors_from_buft)(ctx, place);
        if store.buffer.is_null() {
            return Err(NoMemory { bytes, place: name_of(lib, place) });
        }
        for (w, &t) in list.iter().zip(&tensors) {
            let mut values = w.data.to_vec();
            values.resize(w.len(), 0.0);
            (lib.backend.ggml_backend_tensor_set)(t, values.as_ptr().cast::<c_void>(), 0, size_of_val(&*values));
        }
        Ok((store, tensors))
    }
}
