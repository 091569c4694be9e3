//! `gateway.networking.k8s.io/v1` GRPCRoute: what the mesh acts on, checked as the API server would.

use super::filter::filter_specs;
use super::matches::TextSpec;
use super::reference::parent_spec;
use super::rule::share_specs;
use super::{Draft, Manifest};
use crate::config::metadata::created_s;
use crate::config::path::FieldPath;
use crate::model::{GrpcMatch, Route, RouteMatch, TextMatch};
use gateway_api::apis::experimental::grpcroutes::{
    GrpcRouteRulesMatches, GrpcRouteRulesMatchesHeadersType, GrpcRouteRulesMatchesMethod,
    GrpcRouteRulesMatchesMethodType, GrpcRouteSpec,
};

/// Longest service or method of a match, as Gateway API has it.
const NAME_LENGTH_MAX: usize = 1_024;

/// Reduces a GRPCRoute to what the mesh acts on.
pub(in crate::config) fn convert(
    route: &Manifest<GrpcRouteSpec>,
    mut draft: Draft<'_, '_, '_>,
) -> Route {
    let spec = &route.spec;
    let path = FieldPath::of("spec");
    draft.hostnames(spec.hostnames.as_deref());
    draft.warn_of_gateway(spec.use_default_gateways.is_some(), "useDefaultGateways");
    let parents: Vec<_> = spec
        .parent_refs
        .iter()
        .flatten()
        .map(|parent| parent_spec!(parent))
        .collect();
    let parents = draft.parents(&parents);
    let mut rules = Vec::new();
    for (index, rule) in spec.rules.iter().flatten().enumerate() {
        let at = path.field("rules").index(index);
        draft.warn_of_session(rule.session_persistence.is_some(), &at);
        let filters = filter_specs!(rule.filters);
        let mut read = draft.rule(rule.name.as_deref(), &share_specs!(rule), &filters, &at);
        let matches = rule.matches.iter().flatten().enumerate();
        read.matches = matches
            .map(|(index, wanted)| draft.grpc_match(wanted, &at.field("matches").index(index)))
            .collect();
        rules.push(read);
    }
    if rules.is_empty() {
        let remedy = "add a rule; a rule without matches takes every request";
        let message = "the route has no rules: no request matches";
        draft.report.warn(&path.field("rules"), message, remedy);
    }
    draft.check_rules(&rules, 0);
    Route {
        created_s: created_s(&route.metadata),
        parents,
        rules,
    }
}

impl Draft<'_, '_, '_> {
    fn grpc_match(&mut self, wanted: &GrpcRouteRulesMatches, at: &FieldPath) -> RouteMatch {
        let headers: Vec<(&str, TextSpec<'_>)> = wanted
            .headers
            .iter()
            .flatten()
            .map(|header| {
                let spec = TextSpec {
                    text: &header.value,
                    is_expression: header.r#type
                        == Some(GrpcRouteRulesMatchesHeadersType::RegularExpression),
                };
                (header.name.as_str(), spec)
            })
            .collect();
        let headers = self.headers(&headers, &at.field("headers"));
        let (service, method) = match &wanted.method {
            Some(method) => self.call(method, &at.field("method")),
            None => (None, None),
        };
        RouteMatch::Grpc(GrpcMatch {
            service,
            method,
            headers,
        })
    }

    /// Service and method of a match.
    fn call(
        &mut self,
        wanted: &GrpcRouteRulesMatchesMethod,
        at: &FieldPath,
    ) -> (Option<TextMatch>, Option<TextMatch>) {
        let is_expression =
            wanted.r#type == Some(GrpcRouteRulesMatchesMethodType::RegularExpression);
        // An expression that is empty is one that is not given; a name that is empty is none.
        let given = |text: &'_ Option<String>| {
            text.as_deref()
                .filter(|text| !is_expression || !text.is_empty())
                .map(str::to_owned)
        };
        let (service, method) = (given(&wanted.service), given(&wanted.method));
        if service.is_none() && method.is_none() {
            let remedy = "give one or both, or leave `method` out to match every call";
            self.report
                .error(at, "neither service nor method is given", remedy);
        }
        let mut read = |text: Option<String>, field: &str, may_have_dots: bool| {
            let text = text?;
            let at = at.field(field);
            if text.chars().count() > NAME_LENGTH_MAX {
                let remedy = "use at most 1024 characters";
                self.report.error(&at, "the name is too long", remedy);
            }
            if !is_expression && !is_name(&text, may_have_dots) {
                let remedy = "write it as in the .proto file, like shop.v1.Inventory and GetItem, or use type: RegularExpression";
                self.report.error(&at, "no name of protobuf", remedy);
            }
            let spec = TextSpec {
                text: &text,
                is_expression,
            };
            self.text(&spec, &at)
        };
        (
            read(service, "service", true),
            read(method, "method", false),
        )
    }
}

/// Whether a text is an identifier of protobuf, or for services several with dots between them.
fn is_name(text: &str, may_have_dots: bool) -> bool {
    let is_identifier = |part: &str| {
        let mut bytes = part.bytes();
        bytes
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if may_have_dots {
        let text = text.strip_prefix('.').unwrap_or(text);
        return text.split('.').all(is_identifier);
    }
    is_identifier(text)
}
