//! Requests with images, and which tokens are left of them without.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use evenkeel_model::Vision;
use serde_json::{Value, json};

use super::Answer;
use super::contrast::ALL;
use crate::completion::steps;
use crate::host::Server;

/// What stands for an image in a prompt; by default every server draws one of its own.
pub(super) const MARKER: &str = "<__media__>";

/// The token that begins a text.
const BEGIN: u32 = 1;

/// The tokens of a space and a letter. Only they are generated, as their text is read as the same tokens again.
pub(super) const LETTERS: std::ops::Range<u64> = 288..314;

/// Tokens of an answer.
pub(super) const PREDICT: u32 = 4;

/// Pixels.
pub(super) const WIDTH: u32 = 56;
pub(super) const HEIGHT: u32 = 28;

#[derive(Clone, PartialEq)]
enum Piece {
    Text(String),
    Image(u32),
}

/// A prompt of texts and images.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Question(Vec<Piece>);

impl Question {
    pub(super) fn text(mut self, text: &str) -> Self {
        self.0.push(Piece::Text(text.to_owned()));
        self
    }

    pub(super) fn image(mut self, seed: u32) -> Self {
        self.0.push(Piece::Image(seed));
        self
    }

    /// A prompt with its markers, for one image.
    pub(super) fn of(prompt: &str, seed: u32) -> Self {
        let (before, after) = prompt.split_once(MARKER).unwrap_or_else(|| panic!("no image in {prompt}"));
        Self::default().text(before).image(seed).text(after)
    }

    /// With what was generated.
    pub(super) fn and(&self, letters: &[u64]) -> Self {
        let mut longer = self.clone();
        let words = letters.iter().map(|token| format!(" {}", char::from(b'a' + (token - LETTERS.start) as u8)));
        let words: String = words.collect();
        match longer.0.last_mut() {
            Some(Piece::Text(text)) => text.push_str(&words),
            // A text begins with a space that nobody wrote.
            _ if !letters.is_empty() => longer.0.push(Piece::Text(words.trim_start().to_owned())),
            _ => {}
        }
        longer
    }

    pub(super) fn images(&self) -> Vec<u32> {
        self.0.iter().filter_map(|piece| if let Piece::Image(seed) = piece { Some(*seed) } else { None }).collect()
    }

    /// The tokens that are left without the images: all text, also what libmtmd puts around an image.
    pub(super) fn without(&self, vision: Vision, server: &Server) -> Vec<u32> {
        let around = || vision.around().map(|text| tokens(server, text)).concat();
        let left = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => tokens(server, text),
            Piece::Image(_) => around(),
        });
        std::iter::once(BEGIN).chain(left.flatten()).collect()
    }

    /// A greedy request.
    pub(super) fn body(&self, predict: u32) -> Value {
        let text = |piece: &Piece| if let Piece::Text(text) = piece { text.clone() } else { MARKER.to_owned() };
        let mut body = greedy(predict);
        body["prompt"] = json!({
            "prompt_string": self.0.iter().map(text).collect::<String>(),
            "multimodal_data": self.images().into_iter().map(bitmap).collect::<Vec<_>>(),
        });
        body["n_probs"] = json!(ALL);
        body
    }

    /// The same as a chat's only message.
    pub(super) fn messages(&self) -> Value {
        let content = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => json!({ "type": "text", "text": text }),
            Piece::Image(seed) => {
                let url = format!("data:image/bmp;base64,{}", bitmap(*seed));
                json!({ "type": "image_url", "image_url": { "url": url } })
            }
        });
        json!([{ "role": "user", "content": content.collect::<Vec<_>>() }])
    }

    pub(super) fn send(&self, server: &Server) -> Answer {
        let answer = post(server, "/completion", &self.body(PREDICT));
        Answer { steps: steps(&answer), cached: answer["timings"]["cache_n"].as_u64().unwrap_or(0) }
    }
}

pub(super) fn greedy(predict: u32) -> Value {
    let others = (0..u64::from(ALL)).filter(|token| !LETTERS.contains(token));
    json!({
        "n_predict": predict, "temperature": 0.0, "ignore_eos": true, "seed": 1,
        "logit_bias": others.map(|token| json!([token, false])).collect::<Vec<_>>(),
    })
}

/// A picture of colours that change smoothly, as a Windows bitmap, in Base64.
fn bitmap(seed: u32) -> String {
    const HEAD: u32 = 54;
    let size = WIDTH * HEIGHT * 3;
    let mut file = b"BM".to_vec();
    for number in [HEAD + size, 0, HEAD, 40, WIDTH, HEIGHT, 1 | 24 << 16, 0, size, 0, 0, 0, 0] {
        file.extend(number.to_le_bytes());
    }
    let pixels = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
    file.extend(pixels.flat_map(|(x, y)| [x * seed * 3, y * seed * 5, x * y + seed * 40].map(|colour| colour as u8)));
    BASE64_STANDARD.encode(file)
}

pub(super) fn post(server: &Server, path: &str, body: &Value) -> Value {
    server.post(path, body).unwrap_or_else(|error| panic!("{error}\n{}", server.log()))
}

fn tokens(server: &Server, text: &str) -> Vec<u32> {
    let answer = post(server, "/tokenize", &json!({ "content": text, "add_special": false, "parse_special": true }));
    let list = answer["tokens"].as_array().expect("tokens").iter();
    list.map(|token| token.as_u64().expect("a token") as u32).collect()
}
