//! Memory of this process.

/// What it has and had, in bytes. Files that are mapped, as weights are, count in `peak` alone.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Its own pages that are in use.
    pub own: f64,
    /// All of its pages that are in use.
    pub all: f64,
    /// The most of `all` since [`Memory::forget_peak`].
    pub peak: f64,
}

impl Memory {
    /// At this moment; `None` where the system does not tell.
    pub fn now() -> Option<Memory> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let kib = |key: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(key))?;
            value.trim().strip_suffix(" kB")?.parse::<f64>().ok()
        };
        let bytes = |key: &str| kib(key).map(|kib| kib * 1024.0);
        Some(Memory { own: bytes("RssAnon:")?, all: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }

    /// The peak is what is in use now, if the system lets a process say so.
    pub fn forget_peak() -> bool {
        std::fs::write("/proc/self/clear_refs", "5").is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_counts() {
        const SIZE: usize = 64 << 20;
        let before = Memory::now().expect("this system tells");
        let block = vec![1u8; SIZE];
        let after = Memory::now().expect("this system tells");
        assert!(after.own - before.own > 0.9 * SIZE as f64, "{before:?} {after:?} {}", block[SIZE / 2]);
        assert!(after.peak >= after.all && after.all >= after.own);
    }
}
