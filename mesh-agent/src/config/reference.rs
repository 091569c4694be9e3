//! The form of references between objects, as Gateway API's schema has it.

use super::metadata::{is_dns_label, is_dns_name};
use super::path::FieldPath;
use super::report::Report;

/// Longest name of an object.
const NAME_LENGTH_MAX: usize = 253;

/// Longest kind.
const KIND_LENGTH_MAX: usize = 63;

/// What a reference is made of; what is not given has the default of where it stands.
#[derive(Default)]
pub(super) struct Reference<'s> {
    pub(super) group: Option<&'s str>,
    pub(super) kind: Option<&'s str>,
    pub(super) name: &'s str,
    pub(super) namespace: Option<&'s str>,
    pub(super) section_name: Option<&'s str>,
}

impl Reference<'_> {
    /// Reports what the API server would refuse of it.
    pub(super) fn check(&self, at: &FieldPath, report: &mut Report<'_, '_>) {
        let is_fine = |text: Option<&str>, form: fn(&str) -> bool| text.is_none_or(form);
        let dns =
            "use at most 253 of a-z, 0-9, `-` and `.`, beginning and ending with a letter or digit";
        for (field, is_right, remedy) in [
            ("group", is_fine(self.group, is_group), dns),
            (
                "kind",
                is_fine(self.kind, is_kind),
                "use a kind, like Service",
            ),
            (
                "name",
                (1..=NAME_LENGTH_MAX).contains(&self.name.chars().count()),
                "use 1 to 253 characters",
            ),
            (
                "namespace",
                is_fine(self.namespace, is_dns_label),
                "use 1 to 63 of a-z, 0-9 and `-`, or leave it out",
            ),
            ("sectionName", is_fine(self.section_name, is_dns_name), dns),
        ] {
            if !is_right {
                let message = format!("no {field} of a reference");
                report.error(&at.field(field), &message, remedy);
            }
        }
    }
}

fn is_group(text: &str) -> bool {
    text.is_empty() || is_dns_name(text)
}

fn is_kind(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= KIND_LENGTH_MAX
        && bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}
