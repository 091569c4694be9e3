//! Filters of routes: changes of headers, and copies of requests.

use super::Draft;
use super::reference::BackendSpec;
use crate::config::path::FieldPath;
use crate::config::tree::Node;
use crate::model::{Filters, HeaderEdits, MirrorRef};
use http::header::{HeaderName, HeaderValue};

/// Filters of one rule or backend, and names in one list of a header filter, as Gateway API has it.
const FILTERS_MAX: usize = 16;

/// Longest value of a header, as Gateway API has it.
const VALUE_LENGTH_MAX: usize = 4_096;

/// A filter, wherever it stands. Which of the parts must be there, its `type` says.
pub(super) struct FilterSpec<'s> {
    pub(super) request_headers: Option<ModifierSpec<'s>>,
    pub(super) response_headers: Option<ModifierSpec<'s>>,
    pub(super) mirror: Option<MirrorSpec<'s>>,
}

/// A `requestHeaderModifier` or `responseHeaderModifier`.
pub(super) struct ModifierSpec<'s> {
    pub(super) remove: &'s [String],
    pub(super) set: Vec<(&'s str, &'s str)>,
    pub(super) add: Vec<(&'s str, &'s str)>,
}

/// A `requestMirror`.
pub(super) struct MirrorSpec<'s> {
    pub(super) backend: BackendSpec<'s>,
    pub(super) percent: Option<i32>,
    /// Numerator and denominator.
    pub(super) fraction: Option<(i32, Option<i32>)>,
}

/// Takes a list of any generated filters into [`FilterSpec`]s.
macro_rules! filter_specs {
    ($filters:expr) => {{
        use $crate::config::route::filter::{FilterSpec, MirrorSpec, modifier_spec};
        use $crate::config::route::reference::backend_spec;
        let filters = $filters.iter().flatten();
        let specs = filters.map(|filter| FilterSpec {
            request_headers: filter
                .request_header_modifier
                .as_ref()
                .map(|m| modifier_spec!(m)),
            response_headers: filter
                .response_header_modifier
                .as_ref()
                .map(|m| modifier_spec!(m)),
            mirror: filter.request_mirror.as_ref().map(|mirror| MirrorSpec {
                backend: backend_spec!(mirror.backend_ref),
                percent: mirror.percent,
                fraction: mirror
                    .fraction
                    .as_ref()
                    .map(|f| (f.numerator, f.denominator)),
            }),
        });
        specs.collect::<Vec<_>>()
    }};
}
pub(super) use filter_specs;

/// Takes any generated header filter into a [`ModifierSpec`].
macro_rules! modifier_spec {
    ($modifier:expr) => {{
        let set = $modifier.set.iter().flatten();
        let add = $modifier.add.iter().flatten();
        $crate::config::route::filter::ModifierSpec {
            remove: $modifier.remove.as_deref().unwrap_or_default(),
            set: set.map(|h| (h.name.as_str(), h.value.as_str())).collect(),
            add: add.map(|h| (h.name.as_str(), h.value.as_str())).collect(),
        }
    }};
}
pub(super) use modifier_spec;

/// Every `type` of filter with the field that it goes with, and whether the mesh has it.
const TYPES: [(&str, &str, bool); 8] = [
    ("RequestHeaderModifier", "requestHeaderModifier", true),
    ("ResponseHeaderModifier", "responseHeaderModifier", true),
    ("RequestMirror", "requestMirror", true),
    ("RequestRedirect", "requestRedirect", false),
    ("URLRewrite", "urlRewrite", false),
    ("CORS", "cors", false),
    ("ExternalAuth", "externalAuth", false),
    ("ExtensionRef", "extensionRef", false),
];

impl Draft<'_, '_, '_> {
    /// The filters at `path`.
    pub(super) fn filters(&mut self, specs: &[FilterSpec<'_>], path: &FieldPath) -> Filters {
        self.check_length(specs.len(), FILTERS_MAX, path);
        let mut filters = Filters::default();
        let (mut has_request, mut has_response) = (false, false);
        for (index, spec) in specs.iter().enumerate() {
            let at = path.index(index);
            self.check_type(&at);
            if let Some(modifier) = &spec.request_headers {
                let at = at.field("requestHeaderModifier");
                self.check_repeated(&mut has_request, &at);
                filters.request_headers = self.edits(modifier, &at);
            }
            if let Some(modifier) = &spec.response_headers {
                let at = at.field("responseHeaderModifier");
                self.check_repeated(&mut has_response, &at);
                filters.response_headers = self.edits(modifier, &at);
            }
            if let Some(mirror) = &spec.mirror {
                let mirror = self.mirror(mirror, &at.field("requestMirror"));
                filters.mirrors.push(mirror);
            }
        }
        filters
    }

    /// A filter has the part that its type names and no other, and a type that the mesh has: requests that a filter was
    /// meant for must not go on without it.
    fn check_type(&mut self, at: &FieldPath) {
        let node = self.report.root().locate(at).1;
        let written = node
            .and_then(|node| node.get("type")?.text())
            .unwrap_or_default();
        let Some((_, field, is_known)) = TYPES.iter().find(|(name, _, _)| *name == written) else {
            // No type at all, or none of Gateway API's: the typed reading has said so.
            return;
        };
        if !is_known {
            let remedy = "use RequestHeaderModifier, ResponseHeaderModifier or RequestMirror";
            let message = "the mesh does not have this filter (Accepted=False, UnsupportedValue)";
            self.report.error(&at.field("type"), message, remedy);
        }
        let entries = node.map_or(&[][..], Node::entries);
        let parts = || {
            entries
                .iter()
                .map(|entry| &*entry.key)
                .filter(|key| *key != "type")
        };
        if !parts().any(|key| key == *field) {
            let message = format!("a filter of this type needs `{field}`");
            self.report
                .error(at, &message, "add it, or remove the filter");
        }
        let foreign: Vec<String> = parts()
            .filter(|key| key != field)
            .map(str::to_owned)
            .collect();
        for key in foreign {
            let message = format!("does not go with the type {written}");
            let remedy = "write one filter for each type";
            self.report.error(&at.field(&key), &message, remedy);
        }
    }

    fn check_repeated(&mut self, is_there: &mut bool, at: &FieldPath) {
        if std::mem::replace(is_there, true) {
            let remedy = "put everything into one filter";
            self.report
                .error(at, "a second filter of this type", remedy);
        }
    }

    fn edits(&mut self, spec: &ModifierSpec<'_>, at: &FieldPath) -> HeaderEdits {
        let remove_at = at.field("remove");
        self.check_length(spec.remove.len(), FILTERS_MAX, &remove_at);
        let mut remove = Vec::with_capacity(spec.remove.len());
        for (index, name) in spec.remove.iter().enumerate() {
            let at = remove_at.index(index);
            if spec.remove[..index].contains(name) {
                let remedy = "name each header once";
                self.report.error(&at, "the header is named twice", remedy);
            }
            remove.extend(self.editable(name, &at));
        }
        HeaderEdits {
            remove,
            set: self.values(&spec.set, &at.field("set")),
            add: self.values(&spec.add, &at.field("add")),
        }
    }

    fn values(
        &mut self,
        given: &[(&str, &str)],
        path: &FieldPath,
    ) -> Vec<(HeaderName, HeaderValue)> {
        self.check_length(given.len(), FILTERS_MAX, path);
        let mut values: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (index, (written, value)) in given.iter().enumerate() {
            let at = path.index(index);
            let Some(name) = self.editable(written, &at.field("name")) else {
                continue;
            };
            if values.iter().any(|(known, _)| *known == name) {
                let mut before = given[..index].iter();
                self.repeated(before.any(|(known, _)| known == written), &at);
                continue;
            }
            // Spaces at the ends are no part of a value (RFC 9110, 5.5), and HTTP/2 refuses them (RFC 9113, 8.2.1).
            let is_trimmed = value.trim_matches([' ', '\t']).len() == value.len();
            match HeaderValue::from_str(value) {
                Ok(value) if is_trimmed && (1..=VALUE_LENGTH_MAX).contains(&value.len()) => {
                    values.push((name, value))
                }
                Ok(_) | Err(_) => {
                    let remedy =
                        "use 1 to 4096 visible characters, with spaces and tabs only between them";
                    self.report
                        .error(&at.field("value"), "no value of a header", remedy);
                }
            }
        }
        values
    }

    /// A header that a filter may change.
    fn editable(&mut self, name: &str, at: &FieldPath) -> Option<HeaderName> {
        let name = self.header_name(name, at)?;
        let fault = match name.as_str() {
            "te" | "content-type" => "gRPC needs it as it is",
            text if text.starts_with("grpc-") => "gRPC needs it as it is",
            "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => {
                "HTTP/2 has no such header (RFC 9113, 8.2.2)"
            }
            "content-length" => "it must be the length of the body",
            _ => return Some(name),
        };
        let message = format!("a filter may not change this header: {fault}");
        self.report.error(at, &message, "remove it from the filter");
        None
    }

    fn mirror(&mut self, spec: &MirrorSpec<'_>, at: &FieldPath) -> MirrorRef {
        if spec.percent.is_some() && spec.fraction.is_some() {
            let remedy = "keep one of the two";
            self.report
                .error(at, "both percent and fraction are given", remedy);
        }
        let (numerator, denominator, path) = match (spec.percent, spec.fraction) {
            (Some(percent), _) => (percent, 100, at.field("percent")),
            (None, Some((numerator, denominator))) => {
                (numerator, denominator.unwrap_or(100), at.field("fraction"))
            }
            (None, None) => (1, 1, at.clone()),
        };
        let share = (u32::try_from(numerator), u32::try_from(denominator));
        let (numerator, denominator) = match share {
            (Ok(numerator), Ok(denominator)) if denominator > 0 && numerator <= denominator => {
                (numerator, denominator)
            }
            _ => {
                let remedy = "use a percentage from 0 to 100, or a fraction from 0 to 1";
                self.report.error(&path, "no share of requests", remedy);
                (0, 1)
            }
        };
        let backend_at = at.field("backendRef");
        MirrorRef {
            to: self.destination(&spec.backend, &backend_at),
            numerator,
            denominator,
            path: backend_at.to_string().into(),
        }
    }
}
