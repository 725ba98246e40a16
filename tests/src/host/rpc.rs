//! ggml's RPC servers: devices of other machines, here two processes on the loopback interface.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::run::Guard;
use crate::{Cache, Scratch};

/// A server that does not listen after this never will.
const START: Duration = Duration::from_secs(60);

/// Two running servers, each with one thread of the CPU.
pub struct RpcServers {
    endpoints: Vec<String>,
    _processes: Vec<Guard>,
    _folder: Scratch,
}

impl RpcServers {
    /// Starts them.
    ///
    /// # Panics
    /// When they are not built or do not start.
    pub fn start() -> Self {
        let folder = Scratch::new();
        let (mut endpoints, mut processes) = (Vec::new(), Vec::new());
        for number in 0..2 {
            let (endpoint, process) = start(&folder.path(&format!("server-{number}")));
            endpoints.push(endpoint);
            processes.push(process);
        }
        Self { endpoints, _processes: processes, _folder: folder }
    }

    /// Their addresses, as `--rpc` takes them.
    pub fn list(&self) -> String {
        self.endpoints.join(",")
    }
}

fn start(log: &Path) -> (String, Guard) {
    // A port that is free now; the server cannot be told to choose one itself.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let mut command = Command::new(Cache::locate().built("rpc/bin/ggml-rpc-server"));
    command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--device", "CPU", "--threads", "1"]);
    for name in ["LD_PRELOAD", "GGML_BACKEND_PATH"] {
        command.env_remove(name);
    }
    let file = || File::create(log).expect("a file for the log");
    let child = command.stdin(Stdio::null()).stdout(file()).stderr(Stdio::null()).spawn();
    let mut process = Guard(child.unwrap_or_else(|error| panic!("{command:?}: {error}")));
    let endpoint = format!("127.0.0.1:{port}");
    let deadline = Instant::now() + START;
    while std::net::TcpStream::connect(&endpoint).is_err() {
        let log = || fs::read_to_string(log).unwrap_or_default();
        assert!(process.wait(Duration::from_millis(20)).is_none(), "an RPC server ended\n{}", log());
        assert!(Instant::now() < deadline, "an RPC server does not listen\n{}", log());
        sleep(Duration::from_millis(20));
    }
    (endpoint, process)
}
