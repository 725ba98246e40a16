//! A running server that speaks OpenAI's completions. It is asked for the likeliest next tokens; longer options are asked
//! for token by token, each time with what is known of the option behind the prompt.

mod http;
mod list;

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use serde_json::{Value, json};

use self::{http::Http, list::Listed};
use super::{
    arm::{Arm, Way},
    neutral::Cost,
    respond::{Respondent, Scored},
    score::Form,
};
use crate::{
    args,
    estimate::{Clusters, weighted_mean},
    failure::Failure,
    neutral::Plain,
    suite::{Item, Role, Score},
};

/// Items between two writes to the disk.
const PART: usize = 16;
/// Requests at once.
const TOGETHER: usize = 4;
/// Places in neutral texts.
const PLACES: usize = 96;
/// Longest option, in tokens.
const STEPS: usize = 512;

/// The server.
pub struct Remote {
    http: Http,
    model: String,
    top: usize,
    chosen: Option<String>,
    neutral: Vec<(usize, String, String)>,
    plain: Vec<Listed>,
    unlisted: AtomicUsize,
    options: AtomicUsize,
}

impl Remote {
    /// Asks who is there, and how many tokens it lists.
    pub fn connect(url: &str, args: &args::Audit) -> Result<Remote, Failure> {
        let http = Http::new(url, args.api_key.as_deref(), args.ca_file.as_deref())?;
        let model = match &args.endpoint_model {
            Some(name) => name.clone(),
            None => {
                let found = http.get("models")?;
                let name = found["data"][0]["id"].as_str().map(String::from);
                name.ok_or_else(|| Failure::new(format!("{url} lists no model")).todo("name it with --endpoint-model"))?
            }
        };
        let mut remote = Remote {
            http,
            model,
            top: args.top as usize,
            chosen: None,
            neutral: Vec::new(),
            plain: Vec::new(),
            unlisted: AtomicUsize::new(0),
            options: AtomicUsize::new(0),
        };
        // OpenAI's own limits are 20 for chat and 5 for completions.
        let wanted = [args.top as usize, 20, 5];
        for (i, top) in wanted.into_iter().enumerate().filter(|(i, top)| *i == 0 || *top < wanted[0]) {
            remote.top = top;
            match remote.listed(args.chat, "A") {
                Ok(_) => break,
                Err(failure) if i == 2 || !failure.to_string().contains(" 400") => return Err(failure),
                Err(_) => {}
            }
        }
        Ok(remote)
    }

    /// Places in neutral texts: before words, as the server alone knows its tokens.
    pub fn neutral(mut self, texts: &[Plain]) -> Remote {
        let each = PLACES.div_ceil(texts.len().max(1));
        for (number, plain) in texts.iter().enumerate() {
            let cuts: Vec<usize> = plain
                .text
                .match_indices(' ')
                .map(|(at, _)| at)
                .filter(|at| !plain.prompt.is_empty() || *at > 0)
                .collect();
            for at in crate::neutral::spread(0, cuts.len(), each).into_iter().map(|i| cuts[i]) {
                let before = format!("{}{}", plain.prompt, &plain.text[..at]);
                self.neutral.push((number, before, plain.text[at..].to_owned()));
            }
        }
        self.neutral.truncate(PLACES);
        self
    }

    fn body(&self, chat: bool, prompt: &str, tokens: usize) -> Value {
        let mut body = json!({ "model": self.model, "max_tokens": tokens, "temperature": 0, "stream": false });
        match chat {
            true => body["messages"] = json!([{ "role": "user", "content": prompt }]),
            false => body["prompt"] = json!(prompt),
        }
        if let Some(name) = &self.chosen {
            body["dry_sequence_breakers"] = json!([format!("evenkeel={name}")]);
        }
        body
    }

    fn path(chat: bool) -> &'static str {
        if chat { "chat/completions" } else { "completions" }
    }

    /// The likeliest tokens after a prompt.
    fn listed(&self, chat: bool, prompt: &str) -> Result<Listed, Failure> {
        let mut body = self.body(chat, prompt, 1);
        match chat {
            true => (body["logprobs"], body["top_logprobs"]) = (true.into(), self.top.into()),
            false => body["logprobs"] = self.top.into(),
        }
        let answer = self.http.post(Remote::path(chat), &body)?;
        Listed::read(&answer["choices"][0]["logprobs"]).ok_or_else(|| {
            Failure::new(format!("{} gave no log-probabilities", self.http.base()))
                .todo("the server must support `logprobs` on this endpoint")
        })
    }

    fn text(&self, chat: bool, prompt: &str, tokens: usize, seed: Option<u64>) -> Result<String, Failure> {
        let mut body = self.body(chat, prompt, tokens);
        if let Some(seed) = seed {
            (body["temperature"], body["seed"]) = (1.into(), seed.into());
        }
        let answer = self.http.post(Remote::path(chat), &body)?;
        let choice = &answer["choices"][0];
        let text = if chat { &choice["message"]["content"] } else { &choice["text"] };
        text.as_str().map(String::from).ok_or_else(|| Failure::new(format!("{} gave no text", self.http.base())))
    }

    fn one(&self, form: &Form, item: &Item) -> Result<Score, Failure> {
        let prompt = form.instructed(&item.prompt);
        if let Some(tokens) = item.written() {
            let letter = matches!(item.role, Role::Letter { .. });
            // The same for every arm, and another for every item.
            let seed = item.id.bytes().fold(1u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)) & 0x7fff_ffff);
            return Ok(Score::written(self.text(form.chat, &prompt, tokens, letter.then_some(seed))?));
        }
        let mut known: HashMap<String, Listed> = HashMap::new();
        let mut score = Score { logp: Vec::new(), tokens: Vec::new(), greedy: false, text: None };
        let mut firsts: Vec<Vec<u8>> = Vec::new();
        for (number, option) in item.options.iter().enumerate() {
            let option = if form.chat { option.trim_start() } else { option };
            let (mut logp, mut n, mut greedy) = (0.0, 0, true);
            let mut at = 0;
            while at < option.len() && n < STEPS {
                let before = format!("{prompt}{}", &option[..at]);
                if !known.contains_key(&before) {
                    let listed = self.listed(form.chat, &before)?;
                    known.insert(before.clone(), listed);
                }
                let listed = &known[&before];
                n += 1;
                match listed.find(&option.as_bytes()[at..], form.chat) {
                    // A token may end within a character: what stands there can then not be asked for as text.
                    Some(found) if option.is_char_boundary(at + found.length) => {
                        logp += found.logp;
                        greedy &= found.best;
                        at += found.length;
                    }
                    _ => {
                        self.unlisted.fetch_add(1, Ordering::Relaxed);
                        logp += listed.least();
                        greedy = false;
                        at = option.len();
                    }
                }
                if form.chat {
                    firsts.push(option.as_bytes()[..at].to_vec());
                    break;
                }
            }
            self.options.fetch_add(1, Ordering::Relaxed);
            score.logp.push(logp);
            score.tokens.push(n.max(1));
            score.greedy |= number == 0 && greedy;
        }
        let mut sorted = firsts.clone();
        sorted.sort();
        sorted.dedup();
        if sorted.len() < firsts.len() {
            return Err(Failure::usage(format!(
                "{}: options begin with the same token, and a chat cannot be asked for more",
                item.id
            ))
            .todo("leave out --chat, so that completions are asked for"));
        }
        Ok(score)
    }

    /// Works on all in a few threads; results in order.
    fn each<T: Sync, R: Send>(
        &self,
        all: &[T],
        work: impl Fn(&T) -> Result<R, Failure> + Sync,
    ) -> (Vec<Option<R>>, Option<Failure>) {
        let next = AtomicUsize::new(0);
        let results = Mutex::new((all.iter().map(|_| None).collect::<Vec<Option<R>>>(), None));
        let lock = || results.lock().unwrap_or_else(PoisonError::into_inner);
        std::thread::scope(|scope| {
            for _ in 0..TOGETHER.min(all.len()) {
                scope.spawn(|| {
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        if i >= all.len() || lock().1.is_some() {
                            break;
                        }
                        match work(&all[i]) {
                            Ok(result) => lock().0[i] = Some(result),
                            Err(failure) => {
                                lock().1.get_or_insert(failure);
                            }
                        }
                    }
                });
            }
        });
        results.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Respondent for Remote {
    fn model(&self) -> String {
        self.model.clone()
    }

    fn identity(&self) -> String {
        format!("{} {}", self.http.base(), self.model)
    }

    fn by(&self) -> String {
        self.http.base().to_owned()
    }

    fn length(&self, _form: &Form, _item: &Item) -> Result<Option<usize>, Failure> {
        Ok(None)
    }

    fn part(&self) -> usize {
        PART
    }

    fn take_on(&mut self, arm: &Arm) -> Result<(), Failure> {
        self.chosen = if let Way::Chosen(name) = &arm.way { Some(name.clone()) } else { None };
        Ok(())
    }

    fn put_off(&mut self) -> Result<(), Failure> {
        self.chosen = None;
        Ok(())
    }

    fn score(&mut self, form: &Form, items: &[&Item]) -> Scored {
        let (scores, failure) = self.each(items, |item| self.one(form, item));
        Scored { scores, failure }
    }

    fn go_on(&mut self, form: &Form, prompts: &[String], tokens: usize) -> Result<Vec<String>, Failure> {
        let (texts, failure) = self.each(prompts, |p| self.text(form.chat, &form.instructed(p), tokens, None));
        failure.map_or_else(|| Ok(texts.into_iter().flatten().collect()), Err)
    }

    /// Divergence over the tokens that the plain server lists and all others as one: at most the real one.
    fn cost(&mut self, _form: &Form, arm: &str) -> Result<Option<Cost>, Failure> {
        if self.neutral.is_empty() {
            return Ok(None);
        }
        let begin = Instant::now();
        let tokens = self.http.tokens();
        let (listed, failure) = self.each(&self.neutral, |(_, before, _)| self.listed(false, before));
        if let Some(failure) = failure {
            return Err(failure);
        }
        let listed: Vec<Listed> = listed.into_iter().flatten().collect();
        let speed = (self.http.tokens() - tokens) as f64 / begin.elapsed().as_secs_f64();
        if self.plain.is_empty() {
            self.plain.clone_from(&listed);
        }
        let kl: Vec<f64> = self.plain.iter().zip(&listed).map(|(p, q)| p.divergence(q)).collect();
        let surprise = self
            .neutral
            .iter()
            .zip(&listed)
            .map(|((.., next), l)| -l.find(next.as_bytes(), false).map_or_else(|| l.least(), |found| found.logp));
        let by = Clusters::new(self.neutral.iter().map(|n| n.0));
        Ok(Some(Cost {
            arm: arm.to_owned(),
            kl: by.interval(|w| weighted_mean(&kl, w)),
            perplexity: (surprise.sum::<f64>() / listed.len().max(1) as f64).exp(),
            tokens_per_second: speed,
            refused: None,
        }))
    }

    fn notes(&self) -> Vec<String> {
        let (missed, all) = (self.unlisted.load(Ordering::Relaxed), self.options.load(Ordering::Relaxed));
        let mut notes = vec![format!(
            "asked of a server: probabilities are over the {} likeliest tokens it lists, divergence is a lower bound, \
             tokens per second are the server's with {TOGETHER} requests at once",
            self.top
        )];
        if missed > 0 {
            notes.push(format!(
                "{missed} of {all} options had a token that was not listed; it counts as likely as the last that was, and \
                 the option as no longer (--top)"
            ));
        }
        notes
    }
}
