//! `mesh-agent routes`

use super::in_force::InForceArguments;
use super::table::{Column, Table};
use super::{CommandError, OutputFormat, Verdict};
use crate::api::{RouteBackend, RouteRule, RoutedPort, Routes};
use std::convert::Infallible;

/// Whose routes to list.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    in_force: InForceArguments,
}

pub(super) fn execute(
    arguments: &Arguments,
    output: OutputFormat,
) -> Result<Verdict, CommandError> {
    let routes: Routes = arguments.in_force.ask("/api/routes", |manifests| {
        Ok::<_, Infallible>(manifests.plans.routes())
    })?;
    output.print(&routes, |width| table(&routes, width));
    Ok(Verdict::Fine)
}

fn table(routes: &Routes, width: Option<usize>) -> String {
    if routes.ports.is_empty() {
        return "no service port is routed: everything takes the direct path\n".to_owned();
    }
    let mut table = Table::new(
        [
            Column::name("service"),
            Column::number("port"),
            Column::text("ip"),
            Column::name("callers"),
            Column::name("rule"),
            Column::name("matches"),
            Column::name("backend"),
            Column::number("weight"),
            Column::number("endpoints"),
        ],
        width,
    );
    for port in &routes.ports {
        for set in &port.rule_sets {
            let callers = set.callers.as_deref();
            for rule in &set.rules {
                add_rule(&mut table, port, callers, rule);
            }
        }
    }
    table.to_string()
}

/// One line per backend; what stands in the line above is not said again.
fn add_rule(table: &mut Table<9>, port: &RoutedPort, callers: Option<&str>, rule: &RouteRule) {
    let mut place = [
        port.service.clone(),
        port.port.to_string(),
        if port.ipv6 { "v6" } else { "v4" }.to_owned(),
        callers.unwrap_or("all others").to_owned(),
        rule.name.clone(),
        matches(rule),
    ];
    let backends = rule.backends.iter().map(backend);
    let nowhere = rule
        .backends
        .is_empty()
        .then(|| ["nowhere", "-", "-"].map(str::to_owned));
    for [to, weight, endpoints] in backends.chain(nowhere) {
        let [service, number, ip, callers, name, matches] = std::mem::take(&mut place);
        table.row([
            service, number, ip, callers, name, matches, to, weight, endpoints,
        ]);
    }
}

/// The matches of a rule on one line.
pub(super) fn matches(rule: &RouteRule) -> String {
    if rule.matches.is_empty() {
        return "every request".to_owned();
    }
    rule.matches.join(" or ")
}

fn backend(backend: &RouteBackend) -> [String; 3] {
    let problem = || backend.problem.clone().unwrap_or_default();
    [
        backend.to.clone().unwrap_or_else(problem),
        backend.weight.to_string(),
        backend.endpoints.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::api::{RouteBackend, RouteRule, RoutedPort, Routes, RuleSet};

    #[test]
    fn one_line_per_backend_and_what_goes_nowhere_says_why() {
        let share = |to: Option<&str>, weight, endpoints| RouteBackend {
            to: to.map(str::to_owned),
            problem: to
                .is_none()
                .then(|| "there is no Service shop/gone".to_owned()),
            weight,
            endpoints,
        };
        let rule = |name: &str, matches: &[&str], backends| RouteRule {
            name: name.to_owned(),
            matches: matches.iter().map(|text| (*text).to_owned()).collect(),
            backends,
            set_by: vec![],
        };
        let canary = vec![share(Some("shop/inventory:50051"), 9, 2), share(None, 1, 0)];
        let set = |callers: Option<&str>, rules| RuleSet {
            callers: callers.map(str::to_owned),
            rules,
        };
        let routes = Routes {
            ports: vec![RoutedPort {
                service: "shop/inventory".to_owned(),
                port: 50_051,
                ipv6: false,
                failure_mode: "Open".to_owned(),
                rule_sets: vec![
                    set(
                        None,
                        vec![rule("GRPCRoute shop/r rule 0", &["a.S/M", "b.T/*"], canary)],
                    ),
                    set(
                        Some("lab"),
                        vec![rule("GRPCRoute lab/r rule 0", &[], vec![])],
                    ),
                ],
            }],
        };
        assert_eq!(
            format!("\n{}", table(&routes, None)),
            "
SERVICE          PORT  IP  CALLERS     RULE                     MATCHES         BACKEND                        WEIGHT  ENDPOINTS
shop/inventory  50051  v4  all others  GRPCRoute shop/r rule 0  a.S/M or b.T/*  shop/inventory:50051                9          2
                                                                                there is no Service shop/gone       1          0
shop/inventory  50051  v4  lab         GRPCRoute lab/r rule 0   every request   nowhere                             -          -
"
        );
    }

    #[test]
    fn nothing_routed_is_said() {
        let text = table(&Routes::default(), None);
        assert!(text.contains("direct path"), "{text}");
    }
}
