//! Requests, tried again where that helps.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;
use ureq::Agent;

use crate::failure::Failure;

/// A server's address.
pub struct Http {
    agent: Agent,
    base: String,
    key: Option<String>,
    tokens: AtomicU64,
}

/// Pauses before a request that failed is sent again.
const PAUSES: [Duration; 3] = [Duration::from_millis(200), Duration::from_millis(800), Duration::from_millis(2500)];
/// One answer may take so long.
const PATIENCE: Duration = Duration::from_secs(600);

impl Http {
    /// From an address with or without `/v1`.
    pub fn new(url: &str, key: Option<&str>) -> Result<Http, Failure> {
        if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(
                Failure::usage(format!("--endpoint {url}: is no address")).todo("such as http://127.0.0.1:8080")
            );
        }
        let base = url.trim_end_matches('/').trim_end_matches("/v1").to_owned() + "/v1";
        let agent = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build().into();
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
                Err(error) => (error, true),
            };
            match PAUSES.get(tries).filter(|_| again) {
                Some(pause) => sleep(*pause),
                None => return Err(Failure::new(format!("{url} {why} ({} tries)", tries + 1))),
            }
            tries += 1;
        }
    }

    fn once(&self, url: &str, body: Option<&Value>) -> Result<(u16, String), String> {
        let key = self.key.iter().map(|k| format!("Bearer {k}"));
        let answer = match body {
            Some(body) => key.fold(self.agent.post(url), |r, k| r.header("Authorization", k)).send_json(body),
            None => key.fold(self.agent.get(url), |r, k| r.header("Authorization", k)).call(),
        };
        let mut answer = answer.map_err(|e| format!("cannot be asked: {e}"))?;
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string();
        Ok((answer.status().as_u16(), text.map_err(|e| format!("broke off: {e}"))?))
    }
}
