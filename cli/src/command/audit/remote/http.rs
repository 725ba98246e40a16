//! Requests, tried again where that helps.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;
use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use crate::failure::Failure;

/// A server's address.
pub struct Http {
    agent: Agent,
    base: String,
    key: Option<String>,
    tokens: AtomicU64,
}

/// Why a request got no answer.
enum Broken {
    /// The server's certificate; that does not pass.
    Untrusted(String),
    Other(String),
}

/// Sorts an error of the connection. What a certificate lacks is only told in words, inside an error of the transport.
fn broken(when: &str, error: ureq::Error) -> Broken {
    let text = error.to_string();
    match text.split_once("invalid peer certificate: ") {
        Some((_, why)) => Broken::Untrusted(why.to_owned()),
        None => Broken::Other(format!("{when}: {text}")),
    }
}

/// The certificates of a file.
fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let bad = |why: String| Failure::usage(format!("--ca-file {}: {why}", path.display()));
    let text = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| bad(format!("is no PEM file: {e}")))? {
            found.push(certificate);
        }
    }
    match found.is_empty() {
        true => Err(bad("has no certificate".into()).todo("one begins with -----BEGIN CERTIFICATE-----")),
        false => Ok(found),
    }
}

/// Pauses before a request that failed is sent again.
const PAUSES: [Duration; 3] = [Duration::from_millis(200), Duration::from_millis(800), Duration::from_millis(2500)];
/// One answer may take so long.
const PATIENCE: Duration = Duration::from_secs(600);

impl Http {
    /// From an address with or without `/v1`. `trusted`: a file of certificates that are trusted in place of the usual ones.
    pub fn new(url: &str, key: Option<&str>, trusted: Option<&Path>) -> Result<Http, Failure> {
        if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(
                Failure::usage(format!("--endpoint {url}: is no address")).todo("such as http://127.0.0.1:8080")
            );
        }
        let base = url.trim_end_matches('/').trim_end_matches("/v1").to_owned() + "/v1";
        let mut config = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        if let Some(path) = trusted {
            if !url.starts_with("https://") {
                return Err(Failure::usage(format!("--ca-file is for https, and --endpoint is {url}")));
            }
            let roots = RootCerts::new_with_certs(&certificates(path)?);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let agent = config.build().into();
        Ok(Http { agent, base, key: key.map(String::from), tokens: AtomicU64::new(0) })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// Tokens that the server said it has evaluated for us.
    pub fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let answer = self.send(path, Some(body))?;
        let count = |key: &str| answer["usage"][key].as_u64().unwrap_or(0);
        self.tokens.fetch_add(count("prompt_tokens") + count("completion_tokens"), Ordering::Relaxed);
        Ok(answer)
    }

    fn send(&self, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let url = format!("{}/{path}", self.base);
        let mut tries = 0;
        loop {
            let (why, again) = match self.once(&url, body) {
                Ok((200, text)) => match serde_json::from_str(&text) {
                    Ok(value) => return Ok(value),
                    Err(error) => (format!("answered with no JSON: {error}"), false),
                },
                Ok((status, text)) => {
                    let said: Option<Value> = serde_json::from_str(&text).ok();
                    let said = said.and_then(|v| Some(v["error"]["message"].as_str()?.to_owned())).unwrap_or(text);
                    let said: String = said.chars().take(200).collect();
                    (format!("answered {status}: {said}"), status == 429 || status >= 500)
                }
                Err(Broken::Untrusted(why)) => {
                    let what = format!("{url}: its certificate is not trusted: {why}");
                    let todo = "name the certificate, or its issuer's, with --ca-file; it must be made for this name or address";
                    return Err(Failure::new(what).todo(todo));
                }
                Err(Broken::Other(error)) => (error, true),
            };
            match PAUSES.get(tries).filter(|_| again) {
                Some(pause) => sleep(*pause),
                None => return Err(Failure::new(format!("{url} {why} ({} tries)", tries + 1))),
            }
            tries += 1;
        }
    }

    fn once(&self, url: &str, body: Option<&Value>) -> Result<(u16, String), Broken> {
        let key = self.key.iter().map(|k| format!("Bearer {k}"));
        let answer = match body {
            Some(body) => key.fold(self.agent.post(url), |r, k| r.header("Authorization", k)).send_json(body),
            None => key.fold(self.agent.get(url), |r, k| r.header("Authorization", k)).call(),
        };
        let mut answer = answer.map_err(|e| broken("cannot be asked", e))?;
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string();
        Ok((answer.status().as_u16(), text.map_err(|e| broken("broke off", e))?))
    }
}
