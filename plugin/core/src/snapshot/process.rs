//! Which process wrote a snapshot, so that another one that has its number later is not taken for it.

use std::{fs, io};

/// A process, by what Linux tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it began, in the kernel's ticks since the machine started.
    pub started: Option<u64>,
    /// Where its number counts: a container has numbers of its own.
    pub namespace: Option<String>,
}

impl Process {
    /// This one.
    pub fn own() -> Process {
        let pid = std::process::id();
        Process { pid, started: started(pid).ok().flatten(), namespace: namespace() }
    }

    /// Whether it still runs; `None` where that cannot be told, because its number counts elsewhere.
    pub fn is_alive(&self) -> Option<bool> {
        if self.namespace.is_none() || self.namespace != namespace() {
            return None;
        }
        match started(self.pid) {
            Ok(now) => Some(now == self.started),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
            Err(_) => None,
        }
    }
}

fn namespace() -> Option<String> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// Field 22 of `/proc/PID/stat`. The second is the program's name in brackets, and may have anything in it.
fn started(pid: u32) -> io::Result<Option<u64>> {
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    let text = String::from_utf8_lossy(&text);
    let fields = text.rsplit_once(')').map(|(_, rest)| rest);
    Ok(fields.and_then(|rest| rest.split_whitespace().nth(19)?.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_another_of_its_number() {
        let own = Process::own();
        assert!(own.started.is_some_and(|ticks| ticks > 0) && own.namespace.is_some(), "{own:?}");
        assert_eq!(own.is_alive(), Some(true));
        let earlier = Process { started: own.started.map(|ticks| ticks - 1), ..own.clone() };
        assert_eq!(earlier.is_alive(), Some(false));
        let container = Process { namespace: Some("pid:[1]".into()), ..own.clone() };
        assert_eq!(container.is_alive(), None);
        // Above the largest number that Linux gives.
        assert_eq!(Process { pid: 4_194_305, ..own }.is_alive(), Some(false));
    }
}
