//! Regular expressions of the configuration: anchored, bounded, compiled once.

use regex::bytes::{Regex, RegexBuilder};
use std::sync::Arc;

/// Longest expression accepted, in bytes; Gateway API bounds paths to 1,024 and header values to 4,096.
const LENGTH_MAX: usize = 4_096;

/// Memory a compiled expression may take, in bytes, and its cache again as much: `\w{1,20}` needs about half of it.
const SIZE_MAX: usize = 512 << 10;

/// A regular expression that must match a whole text.
///
/// Matching takes time in proportion to the text, whatever the expression (no backtracking).
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Arc<str>,
    regex: Regex,
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// A sentence, if it is none or needs more than it may.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > LENGTH_MAX {
            return Err(format!("the expression is longer than {LENGTH_MAX} bytes"));
        }
        let compile = |text: &str| {
            let mut builder = RegexBuilder::new(text);
            builder
                .size_limit(SIZE_MAX)
                .dfa_size_limit(SIZE_MAX)
                .build()
        };
        // By itself first: `a)|(b` is none, though the anchors' own group would make it one.
        let regex = compile(text).and_then(|_| compile(&format!(r"\A(?:{text})\z")));
        match regex {
            Ok(regex) => Ok(Self {
                text: text.into(),
                regex,
            }),
            Err(regex::Error::CompiledTooBig(_)) => Err(format!(
                "the expression needs more than {SIZE_MAX} bytes of memory"
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether all of `text` matches.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// The expression as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_pattern_matches_whole_texts_only() {
        for (pattern, text, matches) in [
            ("a|ab", "ab", true),
            ("a|ab", "abc", false),
            ("b", "ab", false),
            ("", "", true),
            ("(?i)get.*", "GetItem", true),
            ("a$", "a\n", false),
        ] {
            let compiled = Pattern::new(pattern).unwrap();
            assert_eq!(
                compiled.matches(text.as_bytes()),
                matches,
                "{pattern} on {text:?}"
            );
        }
    }

    #[test]
    fn what_is_no_expression_or_too_large_is_refused() {
        for pattern in [
            "(",
            "a)|(b",
            "[z-a]",
            r"\w{5000}",
            "(?x)a # b",
            &"a".repeat(5_000),
        ] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
    }
}
