//! What every object has: API version, kind, name.

use super::path::FieldPath;
use super::report::Report;
use super::tree::Node;
use crate::model::{ObjectLabel, ObjectName};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::HashSet;
use std::sync::Arc;

/// The namespace of an object that names none, as `kubectl` has it.
pub(super) const DEFAULT_NAMESPACE: &str = "default";

/// Longest name Kubernetes accepts (RFC 1123 subdomain).
const NAME_LENGTH_MAX: usize = 253;

/// Longest name of a namespace (RFC 1123 label).
const LABEL_LENGTH_MAX: usize = 63;

/// What a document says it is.
pub(super) struct Header<'a> {
    /// `apiVersion`.
    pub(super) api_version: &'a str,
    /// `kind`.
    pub(super) kind: &'a str,
    /// Namespace (the default one if not given) and name, as far as they are text.
    pub(super) label: ObjectLabel,
}

/// Reads the header of an object; `None` if it has no kind or API version.
pub(super) fn read_header<'t>(root: &'t Node<'_>) -> Option<Header<'t>> {
    let text = |field: &str| root.get("metadata").and_then(|m| m.get(field)?.text());
    let kind = root.get("kind")?.text()?;
    let namespace = match kind {
        "Node" => "",
        _ => text("namespace").unwrap_or(DEFAULT_NAMESPACE),
    };
    Some(Header {
        api_version: root.get("apiVersion")?.text()?,
        kind,
        label: ObjectLabel {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: text("name").unwrap_or_default().to_owned(),
        },
    })
}

/// Checks name and namespace of an object.
pub(super) fn check_name(label: &ObjectLabel, report: &mut Report<'_, '_>) {
    let remedy =
        "use at most 253 of a-z, 0-9, `-` and `.`, beginning and ending with a letter or digit";
    if label.name.is_empty() {
        report.error(
            &FieldPath::of("metadata.name"),
            "the object has no name",
            remedy,
        );
    } else if !is_dns_name(&label.name) {
        report.error(&FieldPath::of("metadata.name"), "no valid name", remedy);
    }
    if !label.namespace.is_empty() && !is_dns_label(&label.namespace) {
        let path = FieldPath::of("metadata.namespace");
        let remedy =
            "use at most 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit";
        report.error(&path, "no valid namespace", remedy);
    }
}

/// Whether a text is a DNS name (RFC 1123), as names of objects and rules are. Its parts may be as long as all of it.
pub(super) fn is_dns_name(name: &str) -> bool {
    name.len() <= NAME_LENGTH_MAX && name.split('.').all(is_dns_part)
}

/// Whether a text is a DNS label (RFC 1123), as names of namespaces are.
pub(super) fn is_dns_label(name: &str) -> bool {
    name.len() <= LABEL_LENGTH_MAX && is_dns_part(name)
}

fn is_dns_part(part: &str) -> bool {
    let is_inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    let bytes = part.as_bytes();
    bytes.iter().all(is_inner)
        && bytes.first().is_some_and(|b| *b != b'-')
        && bytes.last().is_some_and(|b| *b != b'-')
}

/// When an object was created, in seconds since 1970.
pub(super) fn created_s(metadata: &ObjectMeta) -> Option<i64> {
    let created = metadata.creation_timestamp.as_ref()?;
    Some(created.0.as_second())
}

/// A label's value; an empty one counts as none.
pub(super) fn label_value<'m>(metadata: &'m ObjectMeta, key: &str) -> Option<&'m str> {
    let value = metadata.labels.as_ref()?.get(key)?;
    (!value.is_empty()).then_some(value)
}

/// One copy of each text of a file: zones, nodes and workloads repeat in every endpoint.
#[derive(Default)]
pub(super) struct Texts(HashSet<Arc<str>>);

impl Texts {
    /// The file's copy of `text`.
    pub(super) fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.0.insert(Arc::clone(&new));
        new
    }

    /// The file's copy of a text that may be missing or empty, which is the same.
    pub(super) fn share_some(&mut self, text: Option<&str>) -> Option<Arc<str>> {
        text.filter(|text| !text.is_empty())
            .map(|text| self.share(text))
    }

    /// An object's name from shared parts.
    pub(super) fn name(&mut self, namespace: &str, name: &str) -> ObjectName {
        ObjectName {
            namespace: self.share(namespace),
            name: self.share(name),
        }
    }
}
