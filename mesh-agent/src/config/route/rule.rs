//! Rules of routes: names, backends, numbers of matches.

use super::Draft;
use super::filter::FilterSpec;
use super::reference::BackendSpec;
use crate::config::metadata::is_dns_name;
use crate::config::path::FieldPath;
use crate::model::{BackendRef, RouteRule};
use std::sync::Arc;

/// Rules of one route, backends of one rule, as Gateway API has it.
pub(super) const RULES_MAX: usize = 16;

/// Matches of one rule, as Gateway API has it.
const MATCHES_MAX: usize = 64;

/// Matches of all rules of a route, as Gateway API has it.
const MATCHES_TOTAL_MAX: usize = 128;

/// A `backendRef` of a rule.
pub(super) struct ShareSpec<'s> {
    pub(super) backend: BackendSpec<'s>,
    pub(super) weight: Option<i32>,
    pub(super) filters: Vec<FilterSpec<'s>>,
}

/// Takes the `backendRefs` of any generated rule into [`ShareSpec`]s.
macro_rules! share_specs {
    ($rule:expr) => {{
        use $crate::config::route::filter::filter_specs;
        use $crate::config::route::reference::backend_spec;
        let backends = $rule.backend_refs.iter().flatten();
        let specs = backends.map(|backend| $crate::config::route::rule::ShareSpec {
            backend: backend_spec!(backend),
            weight: backend.weight,
            filters: filter_specs!(backend.filters),
        });
        specs.collect::<Vec<_>>()
    }};
}
pub(super) use share_specs;

impl Draft<'_, '_, '_> {
    /// What rules of both kinds have: name, backends, filters. Matches come later.
    pub(super) fn rule(
        &mut self,
        name: Option<&str>,
        shares: &[ShareSpec<'_>],
        filters: &[FilterSpec<'_>],
        at: &FieldPath,
    ) -> RouteRule {
        let path = at.field("backendRefs");
        self.check_length(shares.len(), RULES_MAX, &path);
        if shares.is_empty() {
            let remedy = "name a Service in backendRefs; until then its requests get UNAVAILABLE";
            self.report.warn(at, "the rule has no backendRefs", remedy);
        }
        let mut backends = Vec::with_capacity(shares.len());
        for (index, share) in shares.iter().enumerate() {
            let at = path.index(index);
            backends.push(BackendRef {
                to: self.destination(&share.backend, &at),
                weight: self.weight(share.weight, &at),
                filters: self.filters(&share.filters, &at.field("filters")),
                index,
            });
        }
        if !backends.is_empty() && backends.iter().all(|backend| backend.weight == 0) {
            let remedy =
                "give one of them a weight above 0; until then its requests get UNAVAILABLE";
            self.report.warn(&path, "every weight is 0", remedy);
        }
        RouteRule {
            name: self.rule_name(name, at),
            backends,
            filters: self.filters(filters, &at.field("filters")),
            ..RouteRule::default()
        }
    }

    fn rule_name(&mut self, name: Option<&str>, at: &FieldPath) -> Option<Arc<str>> {
        let name = name?;
        if !is_dns_name(name) {
            let remedy = "use 1 to 253 of a-z, 0-9, `-` and `.`";
            self.report
                .error(&at.field("name"), "no name of a rule", remedy);
        }
        Some(self.texts.share(name))
    }

    /// Checks what rules have in common only together: their number, their names, the number of their matches, among them
    /// those that the API server adds.
    pub(super) fn check_rules(&mut self, rules: &[RouteRule], added: usize) {
        let path = FieldPath::of("spec.rules");
        self.check_length(rules.len(), RULES_MAX, &path);
        for (index, rule) in rules.iter().enumerate() {
            let at = path.index(index);
            self.check_length(rule.matches.len(), MATCHES_MAX, &at.field("matches"));
            let is_taken = |known: &RouteRule| rule.name.is_some() && known.name == rule.name;
            if rules.iter().take(index).any(is_taken) {
                let remedy = "give every rule of the route its own name";
                self.report
                    .error(&at.field("name"), "a second rule of this name", remedy);
            }
        }
        let written: usize = rules.iter().map(|rule| rule.matches.len()).sum();
        let total = written + added;
        if total > MATCHES_TOTAL_MAX {
            let message =
                format!("{total} matches, more than the {MATCHES_TOTAL_MAX} a route may have");
            self.report.error(&path, &message, "split the route");
        }
    }
}
