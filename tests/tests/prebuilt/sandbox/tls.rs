//! `evenkeel audit --endpoint https://...`: a real server behind a certificate that nobody knows.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::{fs, thread};

use evenkeel_tests::host::{Arguments, Server, ServerKind};
use evenkeel_tests::{Scratch, Setting, tool};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::items::sandbox;

/// Stands before a server and speaks TLS; gives its address and its certificate.
fn front(server: &str) -> (String, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).expect("a certificate");
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let address = format!("https://{}", listener.local_addr().expect("an address"));
    let server = server.trim_start_matches("http://").to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, server) = (config.clone(), server.clone());
            // A client that does not trust the certificate hangs up: nothing to hand on then.
            thread::spawn(move || hand_on(stream, config, &server).ok());
        }
    });
    (address, cert.pem())
}

/// One request and its answer.
fn hand_on(stream: TcpStream, config: Arc<ServerConfig>, server: &str) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut client = StreamOwned::new(connection, stream);
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).to_lowercase();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0usize);
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    let mut upstream = TcpStream::connect(server)?;
    let (first, rest) = request.split_at(request.iter().position(|b| *b == b'\n').unwrap_or(0) + 1);
    for part in [first, b"Connection: close\r\n", rest, &body] {
        upstream.write_all(part)?;
    }
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    client.write_all(&answer)?;
    client.conn.send_close_notify();
    client.flush()
}

fn audit(endpoint: &str, suite: &Path, out: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(tool());
    command.args(["--json", "audit", "--examples", "0", "--endpoint", endpoint]).args(more);
    command.arg("--suite").arg(format!("jsonl={}", suite.display())).arg("--out").arg(out);
    for variable in ["LD_PRELOAD", "GGML_BACKEND_PATH", "EVENKEEL_PROFILE", "EVENKEEL_REQUIRE"] {
        command.env_remove(variable);
    }
    command.output().expect("the tool starts")
}

#[test]
fn a_certificate_that_nobody_knows_is_named_and_can_be_trusted() {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&sandbox("models/first-f16.gguf")).parallel(4);
    let server = Server::start(ServerKind::Xllamacpp, &arguments, &Setting::new());
    let (address, certificate) = front(server.address());
    let suite = scratch.path("suite.jsonl");
    let row = |who: &str| format!("{{\"prompt\": \"the {who} said that\", \"options\": [\" she\", \" he\"]}}\n");
    fs::write(&suite, ["nurse", "mechanic", "teacher"].map(row).concat()).expect("a suite");
    let out = scratch.path("out");
    let file = scratch.path("own.pem");
    fs::write(&file, &certificate).expect("a file");
    let own = file.to_str().expect("text");

    let refused = audit(&address, &suite, &out, &[]);
    let error = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(error.contains("its certificate is not trusted") && error.contains("--ca-file"), "{error}");

    let trusted = audit(&address, &suite, &out, &["--ca-file", own]);
    let report: Value = serde_json::from_slice(&trusted.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&trusted.stderr)));
    let plain = audit(server.address(), &suite, &scratch.path("plain"), &[]);
    let plain: Value = serde_json::from_slice(&plain.stdout).expect("a report");
    let value =
        |report: &Value| report["suites"][0]["figures"][0]["arms"][0]["value"]["value"].as_f64().expect("a number");
    assert!((value(&report) - value(&plain)).abs() < 1e-3, "{} {}", value(&report), value(&plain));

    // Somebody else's certificate does not help, a file without one is no such file, and without TLS there is none.
    let (_, other) = front(server.address());
    fs::write(&file, other).expect("a file");
    let error = audit(&address, &suite, &out, &["--ca-file", own]).stderr;
    assert!(String::from_utf8_lossy(&error).contains("its certificate is not trusted"));
    fs::write(&file, "nothing").expect("a file");
    let error = audit(&address, &suite, &out, &["--ca-file", own]).stderr;
    assert!(String::from_utf8_lossy(&error).contains("has no certificate"));
    let error = audit(server.address(), &suite, &out, &["--ca-file", own]).stderr;
    assert!(String::from_utf8_lossy(&error).contains("--ca-file is for https"));
}
