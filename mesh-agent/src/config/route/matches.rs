//! What matches of routes are made of: texts, expressions, header names.

use super::Draft;
use crate::config::path::FieldPath;
use crate::model::{HeaderMatch, Pattern, TextMatch};
use http::header::HeaderName;

/// Headers or query parameters of one match, as Gateway API has it.
pub(super) const NAMES_MAX: usize = 16;

/// Longest name of a header or query parameter, as Gateway API has it.
const NAME_LENGTH_MAX: usize = 256;

/// Longest value of a header in a match, as Gateway API has it.
const HEADER_LENGTH_MAX: usize = 4_096;

/// A text and whether it is an expression.
pub(super) struct TextSpec<'s> {
    pub(super) text: &'s str,
    pub(super) is_expression: bool,
}

impl Draft<'_, '_, '_> {
    /// A text or an expression at `at`.
    pub(super) fn text(&mut self, spec: &TextSpec<'_>, at: &FieldPath) -> Option<TextMatch> {
        if !spec.is_expression {
            return Some(TextMatch::Exact(self.texts.share(spec.text)));
        }
        self.pattern(spec.text, at).map(TextMatch::Pattern)
    }

    /// An expression at `at`.
    pub(super) fn pattern(&mut self, text: &str, at: &FieldPath) -> Option<Pattern> {
        match Pattern::new(text) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                // The library draws the place of the error over several lines; the last one says what it is.
                let last = error.lines().last().unwrap_or_default();
                let reason = last.strip_prefix("error: ").unwrap_or(last);
                let message = format!("no regular expression: {reason}");
                let remedy = "use the syntax of the Rust crate regex (RE2's, no look-around)";
                self.report.error(at, &message, remedy);
                None
            }
        }
    }

    /// Headers that a match names, at `path`. Of names that are the same but for their case, the first one counts.
    pub(super) fn headers(
        &mut self,
        specs: &[(&str, TextSpec<'_>)],
        path: &FieldPath,
    ) -> Vec<HeaderMatch> {
        self.check_length(specs.len(), NAMES_MAX, path);
        let mut headers: Vec<HeaderMatch> = Vec::new();
        for (index, (written, spec)) in specs.iter().enumerate() {
            let at = path.index(index);
            let Some(name) = self.header_name(written, &at.field("name")) else {
                continue;
            };
            if !(1..=HEADER_LENGTH_MAX).contains(&spec.text.chars().count()) {
                let remedy = "use 1 to 4096 characters";
                self.report
                    .error(&at.field("value"), "no value of a header", remedy);
            }
            let value = self.text(spec, &at.field("value"));
            if headers.iter().any(|known| known.name == name) {
                self.repeated(
                    specs.iter().take(index).any(|(known, _)| known == written),
                    &at,
                );
            } else if let Some(value) = value {
                headers.push(HeaderMatch { name, value });
            }
        }
        headers
    }

    /// Reports a name that a match or a filter has twice.
    pub(super) fn repeated(&mut self, is_same: bool, at: &FieldPath) {
        let path = at.field("name");
        let remedy = "name it once, with all its values";
        if is_same {
            self.report.error(&path, "the name is given twice", remedy);
        } else {
            let message = "the name is given above in another case: this entry does not count";
            self.report.warn(&path, message, remedy);
        }
    }

    /// A header's name, in lower case.
    pub(super) fn header_name(&mut self, name: &str, at: &FieldPath) -> Option<HeaderName> {
        let is_short = name.len() <= NAME_LENGTH_MAX;
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok();
        let parsed = parsed.filter(|_| is_short);
        if parsed.is_none() {
            let remedy =
                "use 1 to 256 letters, digits and !#$%&'*+-.^_`|~; pseudo-headers are none";
            self.report.error(at, "no name of a header", remedy);
        }
        parsed
    }
}
