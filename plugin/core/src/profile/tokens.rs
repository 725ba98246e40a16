//! `tokens`: a word, or a range of positions.

use toml::de::DeValue;

use super::error::ProfileError;
use super::read::Section;
use super::suggest::nearest;
use super::text::shorten;
use super::types::Tokens;

const WORDS: [(&str, Tokens); 4] =
    [("all", Tokens::All), ("prompt", Tokens::Prompt), ("generated", Tokens::Generated), ("last", Tokens::Last)];

/// Which tokens a rule acts on; all if the key is absent or cannot be read.
pub(super) fn tokens(section: &mut Section<'_, '_, '_>) -> Tokens {
    let Some(at) = section.get("tokens") else { return Tokens::All };
    let DeValue::String(text) = at.get_ref() else { return section.wrong_type(at, "tokens").unwrap_or_default() };
    let text: &str = text;
    if let Some((_, tokens)) = WORDS.iter().find(|(word, _)| *word == text) {
        return *tokens;
    }
    let allowed = section.allowed("tokens");
    match range(text) {
        Some((first, last)) if first <= last => return Tokens::Positions { first, last },
        Some(_) => section.fail(at, "tokens", ProfileError::OutOfRange { got: shorten(text), allowed }),
        None => {
            let suggestion = nearest(text, WORDS.iter().map(|(word, _)| *word));
            section.fail(at, "tokens", ProfileError::UnknownValue { got: shorten(text), suggestion, allowed });
        }
    }
    Tokens::All
}

fn range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once("..")?;
    let number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?;
    Some((number(first)?, number(last)?))
}
