//! What the lowering sees of a `ggml_cgraph`.

use std::{collections::HashMap, fmt};

/// The operations that the lowering tells apart. ggml's numbers shift between versions, its names do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// A leaf: weight, input or constant.
    None,
    /// `ADD`
    Add,
    /// `MUL`
    Mul,
    /// `MUL_MAT`
    MulMat,
    /// `CONT`
    Cont,
    /// `FLASH_ATTN_EXT`
    FlashAttn,
    /// `GET_ROWS`
    GetRows,
    /// `VIEW`, `RESHAPE`, `PERMUTE` or `TRANSPOSE`: no data of its own.
    View,
    /// `SOFT_MAX`
    SoftMax,
    /// `ROPE`
    Rope,
    /// `SET_ROWS`
    SetRows,
    /// `SCALE`
    Scale,
    /// `UNARY`
    Unary,
    /// `CPY`: the same values elsewhere.
    Copy,
    /// Anything else.
    Other,
}

impl Op {
    /// From `ggml_op_name`.
    pub fn from_name(name: &str) -> Op {
        match name {
            "NONE" => Op::None,
            "ADD" => Op::Add,
            "MUL" => Op::Mul,
            "MUL_MAT" => Op::MulMat,
            "CONT" => Op::Cont,
            "FLASH_ATTN_EXT" => Op::FlashAttn,
            "GET_ROWS" => Op::GetRows,
            "SOFT_MAX" => Op::SoftMax,
            "ROPE" => Op::Rope,
            "SET_ROWS" => Op::SetRows,
            "SCALE" => Op::Scale,
            "UNARY" => Op::Unary,
            "CPY" => Op::Copy,
            "VIEW" | "RESHAPE" | "PERMUTE" | "TRANSPOSE" => Op::View,
            _ => Op::Other,
        }
    }
}

/// A tensor's name: at most 63 bytes, as in `ggml_tensor`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; 64],
}

impl Name {
    /// From ggml's array, which ends at the first zero byte.
    pub fn from_bytes(bytes: [u8; 64]) -> Name {
        Name { bytes }
    }

    /// Cut to 63 bytes.
    pub fn new(text: &str) -> Name {
        let mut bytes = [0; 64];
        let n = text.len().min(63);
        bytes[..n].copy_from_slice(&text.as_bytes()[..n]);
        Name { bytes }
    }

    /// The bytes before the first zero byte.
    pub fn as_bytes(&self) -> &[u8] {
        let n = self.bytes.iter().position(|&b| b == 0).unwrap_or(64);
        &self.bytes[..n]
    }

    /// As text; empty if it is not UTF-8.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or("")
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Index into [`GraphView::tensors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub u32);

/// One tensor of a graph.
#[derive(Debug, Clone)]
pub struct TensorView {
    /// Its name: shared, overwritten and changed over time, so never enough alone.
    pub name: Name,
    /// What computes it.
    pub op: Op,
    /// Elements per dimension, fastest first.
    pub ne: [i64; 4],
    /// True for `GGML_TYPE_F32`.
    pub f32: bool,
    /// True if it is a view of another tensor's data.
    pub view: bool,
    /// True if the graph will compute it (false in an unselected branch).
    pub compute: bool,
    /// What it reads; `None` ends the list.
    pub src: [Option<TensorId>; 10],
}

/// One graph: its nodes in order of execution, then the leafs that they read.
#[derive(Debug, Clone, Default)]
pub struct GraphView {
    /// Nodes `0..n_nodes`, then leafs.
    pub tensors: Vec<TensorView>,
    /// How many of `tensors` are nodes.
    pub n_nodes: usize,
    /// `ggml_graph_size`: neither nodes nor leafs, nor (in the scheduler) both together, may exceed it.
    pub capacity: usize,
}

impl GraphView {
    /// The tensor.
    pub fn tensor(&self, id: TensorId) -> &TensorView {
        &self.tensors[id.0 as usize]
    }

    /// The nodes, in order of execution.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = (TensorId, &TensorView)> {
        self.tensors[..self.n_nodes].iter().enumerate().map(|(i, t)| (TensorId(i as u32), t))
    }

    /// The leafs that nodes read.
    pub fn leafs(&self) -> impl Iterator<Item = (TensorId, &TensorView)> {
        self.tensors[self.n_nodes..].iter().enumerate().map(|(i, t)| (TensorId((self.n_nodes + i) as u32), t))
    }

    /// The leaf of that name.
    pub fn leaf(&self, name: &str) -> Option<TensorId> {
        self.leafs().find(|(_, t)| t.name.as_bytes() == name.as_bytes()).map(|(id, _)| id)
    }

    /// The last node of that name that holds data of its own.
    pub fn last(&self, name: &str) -> Option<TensorId> {
        let own = |t: &TensorView| t.op != Op::View && !t.view && t.compute;
        self.nodes().rev().find(|(_, t)| own(t) && t.name.as_bytes() == name.as_bytes()).map(|(id, _)| id)
    }

    /// The node whose data a tensor shows: views have none of their own.
    ///
    /// # Errors
    /// Why there is none that could become something else.
    pub fn data_of(&self, mut t: TensorId) -> Result<TensorId, String> {
        while let found = self.tensor(t)
            && found.op == Op::View
        {
            t = found.src[0].ok_or("it shows a part of something else")?;
        }
        let found = self.tensor(t);
        if found.view || found.op == Op::None { Err("it is computed in place of another".to_owned()) } else { Ok(t) }
    }

    /// The leaf that a tensor is a view of.
    pub fn base(&self, id: TensorId) -> Option<TensorId> {
        self.follow(id, |op| op == Op::View)
    }

    /// The leaf that a tensor is a view, or a copy of a view, of.
    pub fn base_of_copy(&self, id: TensorId) -> Option<TensorId> {
        self.follow(id, |op| matches!(op, Op::View | Op::Cont | Op::Copy))
    }

    fn follow(&self, id: TensorId, through: impl Fn(Op) -> bool) -> Option<TensorId> {
        let mut at = id;
        while through(self.tensor(at).op) {
            at = self.tensor(at).src[0]?;
        }
        (self.tensor(at).op == Op::None).then_some(at)
    }

    /// Which nodes hold only the rows that produce output: those that depend on `GET_ROWS(…, out_ids)`.
    ///
    /// Shapes do not tell (while generating, all rows are output rows). Indexed like [`GraphView::tensors`].
    pub fn row_selected(&self) -> Vec<bool> {
        let mut selected = vec![false; self.tensors.len()];
        let Some(out_ids) = self.leaf("out_ids") else { return selected };
        for (id, node) in self.nodes() {
            let gathers = node.op == Op::GetRows && node.src[1] == Some(out_ids);
            let inherits = || node.src.iter().flatten().any(|s| selected[s.0 as usize]);
            selected[id.0 as usize] = gathers || inherits();
        }
        selected
    }

    /// For every block, the last node called `<stem>-<block>` that holds data of its own.
    ///
    /// Names are shared (a control vector's `l_out` and what it is added to), and the last is what the next block reads.
    pub fn layered(&self, stem: &str) -> HashMap<u32, TensorId> {
        let number = |name: &Name| {
            let rest = name.as_str().strip_prefix(stem)?.strip_prefix('-')?;
            rest.parse().ok()
        };
        let own = self.nodes().filter(|(_, t)| t.op != Op::View && !t.view && t.compute);
        own.filter_map(|(id, t)| Some((number(&t.name)?, id))).collect()
    }
}
