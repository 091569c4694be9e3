//! `gateway.networking.k8s.io/v1` HTTPRoute: what the mesh acts on, checked as the API server would.

use super::filter::filter_specs;
use super::matches::{NAMES_MAX, TextSpec};
use super::reference::parent_spec;
use super::rule::share_specs;
use super::{Draft, Manifest};
use crate::config::duration::{self, parse_duration};
use crate::config::metadata::created_s;
use crate::config::path::FieldPath;
use crate::model::{HttpMatch, PathMatch, Retry, Route, RouteMatch, RouteRule, TextMatch};
use gateway_api::apis::experimental::httproutes::{
    HttpRouteRules, HttpRouteRulesMatches, HttpRouteRulesMatchesHeadersType,
    HttpRouteRulesMatchesMethod as Method, HttpRouteRulesMatchesPath,
    HttpRouteRulesMatchesPathType, HttpRouteRulesMatchesQueryParamsType, HttpRouteRulesRetry,
    HttpRouteSpec,
};
use std::sync::Arc;
use std::time::Duration;

/// Longest path or query parameter of a match, as Gateway API has it.
const LENGTH_MAX: usize = 1_024;

/// Retries at most, as for a MeshPolicy.
const ATTEMPTS_MAX: i64 = 4;

/// Reduces an HTTPRoute to what the mesh acts on.
pub(in crate::config) fn convert(
    route: &Manifest<HttpRouteSpec>,
    mut draft: Draft<'_, '_, '_>,
) -> Route {
    let spec = &route.spec;
    let path = FieldPath::of("spec.rules");
    draft.hostnames(spec.hostnames.as_deref());
    draft.warn_of_gateway(spec.use_default_gateways.is_some(), "useDefaultGateways");
    let parents: Vec<_> = spec
        .parent_refs
        .iter()
        .flatten()
        .map(|parent| parent_spec!(parent))
        .collect();
    let parents = draft.parents(&parents);
    let mut rules: Vec<RouteRule> = Vec::new();
    for (index, rule) in spec.rules.iter().flatten().enumerate() {
        rules.push(draft.http_rule(rule, &path.index(index)));
    }
    if spec.rules.as_ref().is_some_and(Vec::is_empty) {
        let remedy = "add a rule, or leave `rules` out";
        draft
            .report
            .error(&path, "an HTTPRoute has at least one rule", remedy);
    } else if rules.is_empty() {
        // The default of the CRD: one rule that takes everything and sends it nowhere.
        rules.push(RouteRule::default());
        let message = "the route has no rules: every request is answered with 500";
        draft
            .report
            .warn(&path, message, "add a rule with backendRefs");
    }
    let given = spec.rules.iter().flatten();
    let without_matches = given.filter(|rule| rule.matches.is_none()).count();
    draft.check_rules(&rules, without_matches);
    Route {
        created_s: created_s(&route.metadata),
        parents,
        rules,
    }
}

impl Draft<'_, '_, '_> {
    fn http_rule(&mut self, rule: &HttpRouteRules, at: &FieldPath) -> RouteRule {
        self.warn_of_session(rule.session_persistence.is_some(), at);
        let filters = filter_specs!(rule.filters);
        let mut read = self.rule(rule.name.as_deref(), &share_specs!(rule), &filters, at);
        let matches = rule.matches.iter().flatten().enumerate();
        read.matches = matches
            .map(|(index, wanted)| self.http_match(wanted, &at.field("matches").index(index)))
            .collect();
        if let Some(timeouts) = &rule.timeouts {
            let at = at.field("timeouts");
            read.request_timeout = self.duration(timeouts.request.as_deref(), &at.field("request"));
            let backend_at = at.field("backendRequest");
            read.backend_request_timeout =
                self.duration(timeouts.backend_request.as_deref(), &backend_at);
            let bound = read.request_timeout.filter(|bound| !bound.is_zero());
            if bound.is_some_and(|bound| read.backend_request_timeout > Some(bound)) {
                let remedy = "one try cannot take longer than all of them together";
                self.report
                    .error(&backend_at, "longer than timeouts.request", remedy);
            }
        }
        read.retry = rule
            .retry
            .as_ref()
            .map(|retry| self.http_retry(retry, &at.field("retry")));
        read
    }

    fn duration(&mut self, text: Option<&str>, at: &FieldPath) -> Option<Duration> {
        let read = parse_duration(text?);
        if read.is_none() {
            let remedy = format!("use {}", duration::EXPECTED);
            self.report.error(at, "no duration", &remedy);
        }
        read
    }

    fn http_retry(&mut self, retry: &HttpRouteRulesRetry, at: &FieldPath) -> Retry {
        let defaults = Retry::default();
        let attempts = retry.attempts.unwrap_or(i64::from(defaults.attempts));
        if !(0..=ATTEMPTS_MAX).contains(&attempts) {
            let remedy = "use a number from 0 to 4";
            self.report
                .error(&at.field("attempts"), "no number of retries", remedy);
        }
        let mut codes = Vec::new();
        for (index, code) in retry.codes.iter().flatten().enumerate() {
            match u16::try_from(*code) {
                Ok(code) if (400..600).contains(&code) => codes.push(code),
                Ok(_) | Err(_) => {
                    let at = at.field("codes").index(index);
                    let remedy = "use an HTTP status from 400 to 599";
                    self.report.error(&at, "no status of a failure", remedy);
                }
            }
        }
        let backoff = self.duration(retry.backoff.as_deref(), &at.field("backoff"));
        let backoff_base = backoff.unwrap_or(defaults.backoff_base);
        Retry {
            attempts: u32::try_from(attempts).unwrap_or(0),
            codes: crate::model::CodeSet::default(),
            http_codes: codes.into(),
            retries_cuts: true,
            backoff_base,
            // The same ten times as between the defaults: the standard has no field for it.
            backoff_max: backoff_base.saturating_mul(10),
        }
    }

    fn http_match(&mut self, wanted: &HttpRouteRulesMatches, at: &FieldPath) -> RouteMatch {
        let headers: Vec<(&str, TextSpec<'_>)> = wanted
            .headers
            .iter()
            .flatten()
            .map(|header| {
                let spec = TextSpec {
                    text: &header.value,
                    is_expression: header.r#type
                        == Some(HttpRouteRulesMatchesHeadersType::RegularExpression),
                };
                (header.name.as_str(), spec)
            })
            .collect();
        RouteMatch::Http(HttpMatch {
            path: self.path(wanted.path.as_ref(), &at.field("path")),
            method: wanted.method.as_ref().map(method),
            headers: self.headers(&headers, &at.field("headers")),
            query: self.query(wanted, &at.field("queryParams")),
        })
    }

    fn path(&mut self, wanted: Option<&HttpRouteRulesMatchesPath>, at: &FieldPath) -> PathMatch {
        use HttpRouteRulesMatchesPathType as Type;
        let at = at.field("value");
        let kind = wanted
            .and_then(|path| path.r#type.as_ref())
            .unwrap_or(&Type::PathPrefix);
        let value = wanted.and_then(|path| path.value.as_deref()).unwrap_or("/");
        if value.chars().count() > LENGTH_MAX {
            self.report
                .error(&at, "the path is too long", "use at most 1024 characters");
        }
        if *kind == Type::RegularExpression {
            let pattern = self.pattern(value, &at);
            return pattern.map_or_else(|| PathMatch::Prefix("".into()), PathMatch::Pattern);
        }
        if let Some(message) = path_fault(value) {
            let remedy = "write a path like /shop.v1.Inventory/GetItem";
            self.report.error(&at, message, remedy);
        }
        match kind {
            Type::Exact => PathMatch::Exact(self.texts.share(value)),
            Type::PathPrefix | Type::RegularExpression => {
                PathMatch::Prefix(self.texts.share(value.trim_end_matches('/')))
            }
        }
    }

    fn query(
        &mut self,
        wanted: &HttpRouteRulesMatches,
        path: &FieldPath,
    ) -> Vec<(Arc<str>, TextMatch)> {
        let mut query: Vec<(Arc<str>, TextMatch)> = Vec::new();
        let given = wanted.query_params.as_deref().unwrap_or_default();
        self.check_length(given.len(), NAMES_MAX, path);
        for (index, parameter) in given.iter().enumerate() {
            let at = path.index(index);
            // The same form as a header's; that it is none does not matter.
            let is_named = self
                .header_name(&parameter.name, &at.field("name"))
                .is_some();
            if !(1..=LENGTH_MAX).contains(&parameter.value.chars().count()) {
                let remedy = "use 1 to 1024 characters";
                self.report
                    .error(&at.field("value"), "no value of a query parameter", remedy);
            }
            let kind = HttpRouteRulesMatchesQueryParamsType::RegularExpression;
            let spec = TextSpec {
                text: &parameter.value,
                is_expression: parameter.r#type.as_ref() == Some(&kind),
            };
            let value = self.text(&spec, &at.field("value"));
            if query.iter().any(|(known, _)| **known == *parameter.name) {
                self.repeated(true, &at);
            } else if let (Some(value), true) = (value, is_named) {
                query.push((self.texts.share(&parameter.name), value));
            }
        }
        query
    }
}

/// What the API server has against a path.
fn path_fault(path: &str) -> Option<&'static str> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@%".contains(&b);
    let lower = path.to_ascii_lowercase();
    if !path.starts_with('/') {
        return Some("the path does not begin with /");
    }
    if !path.bytes().all(is_plain) {
        return Some("the path has a character that is to be percent-encoded");
    }
    let mut escapes = path.split('%').skip(1);
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !escapes.all(is_escape) {
        return Some("the path has a % without two hexadecimal digits");
    }
    let is_ambiguous = ["//", "/./", "/../", "%2f"]
        .iter()
        .any(|part| lower.contains(part))
        || lower.ends_with("/.")
        || lower.ends_with("/..");
    is_ambiguous.then_some("the path has //, /./, /../ or %2f, which servers read differently")
}

fn method(method: &Method) -> http::Method {
    match method {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Delete => http::Method::DELETE,
        Method::Connect => http::Method::CONNECT,
        Method::Options => http::Method::OPTIONS,
        Method::Trace => http::Method::TRACE,
        Method::Patch => http::Method::PATCH,
    }
}
