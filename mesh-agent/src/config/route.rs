//! GRPCRoute and HTTPRoute: the parts that both have, checked as the API server would.
//!
//! The generated types repeat the same form for every place where it may stand. The macros here take them into one type
//! per form; functions could not, for the generated types have nothing in common but the names of their fields.

mod filter;
mod grpc;
mod http;
mod matches;
mod reference;
mod rule;

pub(super) use self::grpc::convert as convert_grpc;
pub(super) use self::http::convert as convert_http;

use super::metadata::{Texts, is_dns_name};
use super::path::FieldPath;
use super::report::Report;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use std::sync::Arc;

/// `hostnames` of one route, as Gateway API has it.
const HOSTNAMES_MAX: usize = 16;

/// Longest of them, its wildcard included.
const HOSTNAME_LENGTH_MAX: usize = 253;

/// A route as manifests write it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "decoded to check the form: what is read elsewhere, or not at all"
)]
pub(super) struct Manifest<S> {
    api_version: String,
    kind: String,
    #[serde(default)]
    pub(super) metadata: ObjectMeta,
    pub(super) spec: S,
    /// Written by controllers; manifests taken from an API server have it.
    status: Option<serde_json::Value>,
}

/// A route while it is read.
pub(super) struct Draft<'x, 'r, 'a> {
    /// The route's namespace.
    pub(super) namespace: Arc<str>,
    /// The file's texts.
    pub(super) texts: &'x mut Texts,
    /// What is wrong with it.
    pub(super) report: &'x mut Report<'r, 'a>,
}

impl<'x, 'r, 'a> Draft<'x, 'r, 'a> {
    /// A route of this namespace, of which nothing is read yet.
    pub(super) fn new(
        namespace: &Arc<str>,
        texts: &'x mut Texts,
        report: &'x mut Report<'r, 'a>,
    ) -> Self {
        Self {
            namespace: Arc::clone(namespace),
            texts,
            report,
        }
    }

    /// Reports a list that is longer than the API server accepts.
    fn check_length(&mut self, length: usize, max: usize, path: &FieldPath) {
        if length > max {
            let message = format!("{length} items, more than the {max} that Gateway API allows");
            self.report.error(path, &message, "split the route");
        }
    }

    /// Reports `hostnames`, which only gateways act on, and what the API server would refuse of them.
    fn hostnames(&mut self, names: Option<&[String]>) {
        self.warn_of_gateway(names.is_some(), "hostnames");
        let path = FieldPath::of("spec.hostnames");
        let names = names.unwrap_or_default();
        self.check_length(names.len(), HOSTNAMES_MAX, &path);
        for (index, name) in names.iter().enumerate() {
            if name.len() > HOSTNAME_LENGTH_MAX
                || !is_dns_name(name.strip_prefix("*.").unwrap_or(name))
            {
                let remedy = "use a name like shop.example or *.example";
                self.report
                    .error(&path.index(index), "no host name", remedy);
            }
        }
    }

    /// Reports a field that only gateways act on.
    fn warn_of_gateway(&mut self, is_there: bool, field: &str) {
        if is_there {
            let message = "not implemented in the mesh, has no effect: a route holds for its Services under any name";
            let path = FieldPath::of("spec").field(field);
            self.report
                .warn(&path, message, "remove it, or do not rely on it");
        }
    }

    /// Reports a rule's `sessionPersistence`.
    fn warn_of_session(&mut self, is_there: bool, rule: &FieldPath) {
        if is_there {
            let remedy = "use sessionAffinity of the Service, or MeshPolicy loadBalancing RingHash";
            let path = rule.field("sessionPersistence");
            self.report
                .warn(&path, "not implemented in the mesh, has no effect", remedy);
        }
    }
}
