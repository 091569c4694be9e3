//! `mesh-agent explain --to SERVICE:PORT`

use super::in_force::{InForceArguments, Manifests};
use super::routes::matches;
use super::table::{Column, Table};
use super::{CommandError, OutputFormat, Verdict};
use crate::api::quantity::count;
use crate::api::{
    Bound, Call, Caller, CallerListeners, ExplainQuery, ExplainedDestination, Explanation, Header,
    JudgedRule, RuleVerdict, Target, Treatment,
};
use crate::reconcile::NoTarget;

/// Which request to explain.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where it goes: `NAME:PORT`, `NAMESPACE/NAME:PORT` or the cluster `IP:PORT`; the port by number or name
    #[arg(long, env = "MESH_TO", value_name = "SERVICE:PORT")]
    to: Target,

    /// Where it comes from: `NAMESPACE` or `NAMESPACE/WORKLOAD` [default: a namespace without routes of its own]
    #[arg(long, env = "MESH_FROM", value_name = "CALLER")]
    from: Option<Caller>,

    /// What it calls: `/package.Service/Method`, or `GET /path` for an HTTPRoute [default: anything]
    #[arg(long, env = "MESH_METHOD", value_name = "NAME")]
    method: Option<Call>,

    /// A header of it; may be given several times (with --method)
    #[arg(short = 'H', long, env = "MESH_HEADER", value_name = "NAME:VALUE")]
    header: Vec<Header>,

    #[command(flatten)]
    in_force: InForceArguments,
}

pub(super) fn execute(
    arguments: &Arguments,
    output: OutputFormat,
) -> Result<Verdict, CommandError> {
    let query = ExplainQuery {
        to: arguments.to.clone(),
        from: arguments.from.clone(),
        call: arguments.method.clone(),
        headers: arguments.header.clone(),
    };
    let path = format!("/api/explain?{}", query.to_query());
    let explanation: Explanation = arguments
        .in_force
        .ask(&path, |manifests| explain(manifests, &query))?;
    output.print(&explanation, |width| report(&explanation, width));
    Ok(if explanation.answer.is_none() {
        Verdict::Fine
    } else {
        Verdict::SomethingWrong
    })
}

fn explain(manifests: &Manifests, query: &ExplainQuery) -> Result<Explanation, NoTarget> {
    let Manifests { plans, problems } = manifests;
    let mut explanation = plans.explain(query)?;
    plans.add_problems(&mut explanation, problems);
    Ok(explanation)
}

/// The request, then its way: path, rule, destinations with their endpoints.
fn report(explanation: &Explanation, width: Option<usize>) -> String {
    let is_routed = explanation.is_routed();
    let mut text = line("request", &request(explanation));
    text += &line(
        "path",
        &format!("{}: {}", explanation.path, explanation.why),
    );
    if is_routed {
        text += &line("protocol", &protocol(explanation));
        text += &line("failure mode", &failure(explanation));
        if let Some(listeners) = &explanation.listeners {
            text += &said_of(listeners, explanation.caller_namespace.as_deref());
        }
    }
    if let Some(answer) = &explanation.answer {
        text += &line("answer", answer);
    }
    if is_routed {
        text += &rules(explanation, width);
        if !explanation.edits.is_empty() || !explanation.treatment.is_empty() {
            text.push('\n');
        }
    }
    text += &lines(&explanation.edits, &explanation.treatment);
    let total: u64 = explanation
        .destinations
        .iter()
        .map(|destination| u64::from(destination.weight))
        .sum();
    for destination in &explanation.destinations {
        text += &told(destination, total, width);
    }
    if !explanation.problems.is_empty() {
        text.push('\n');
    }
    for problem in &explanation.problems {
        text += &line(&problem.severity.to_string(), &problem.text);
    }
    text
}

fn line(what: &str, says: &str) -> String {
    format!("{what:<16}  {says}\n")
}

fn request(explanation: &Explanation) -> String {
    let what = explanation.request.as_deref().unwrap_or("any request");
    let (service, port) = (&explanation.service, explanation.port);
    let address = explanation
        .address
        .map_or_else(|| "headless".to_owned(), |address| address.to_string());
    let from = explanation
        .caller_namespace
        .as_deref()
        .unwrap_or("a namespace without routes of its own");
    format!("{what} to {service}:{port} ({address}), from {from}")
}

fn protocol(explanation: &Explanation) -> String {
    let declared = explanation.protocol.as_deref();
    let unless = if explanation.failure_mode == "Closed" {
        "refused"
    } else {
        "relayed as bytes to an endpoint of the Service"
    };
    let declared = declared.map_or_else(
        || "not declared".to_owned(),
        |name| format!("declared as {name}"),
    );
    format!("{declared}; a connection that does not begin as HTTP/2 is {unless}")
}

fn failure(explanation: &Explanation) -> String {
    let says = match explanation.failure_mode.as_str() {
        "Closed" => "Closed: without the proxy, connections are refused (ECONNREFUSED)",
        _ => "Open: without the proxy, connections go straight to an endpoint of the Service",
    };
    let set_by = explanation.failure_mode_set_by.as_deref();
    format!("{says}  [{}]", set_by.unwrap_or("default"))
}

/// Where callers meet the proxy, and what becomes of those who do not.
fn said_of(listeners: &CallerListeners, of: Option<&str>) -> String {
    let CallerListeners {
        listening,
        refused,
        unknown,
    } = listeners;
    let nobody = match of {
        Some(namespace) => format!(
            "in no network namespace of {namespace}: no process of its pods is in the mesh on this node, or no EndpointSlice names them"
        ),
        None => "in no network namespace: no process is in the mesh on this node".to_owned(),
    };
    let of = of.map_or_else(String::new, |namespace| format!(" of {namespace}"));
    let mut text = match listening {
        0 => line("listeners", &nobody),
        _ => line(
            "listeners",
            &format!("in {}{of}", count(*listening, "network namespace")),
        ),
    };
    for why in refused {
        text += &line(
            "bypassed",
            &format!("a network namespace{of} (bind_failed): {why}"),
        );
    }
    if *unknown > 0 {
        let says = format!(
            "{}: no EndpointSlice names a pod there, so routes of other namespaces than the Service's do not hold for its callers",
            count(*unknown, "network namespace")
        );
        text += &line("unknown callers", &says);
    }
    text
}

fn rules(explanation: &Explanation, width: Option<usize>) -> String {
    let columns = [
        Column::name("rule"),
        Column::name("matches"),
        Column::text("verdict"),
    ];
    let mut table = Table::new(columns, width);
    for judged in &explanation.rules {
        table.row([
            judged.rule.name.clone(),
            matches(&judged.rule),
            verdict(judged),
        ]);
    }
    let is_open = |judged: &JudgedRule| judged.verdict == RuleVerdict::Open;
    let hint = if explanation.rules.iter().any(is_open) {
        "which of them a request meets depends on what it calls: say --method\n"
    } else {
        ""
    };
    format!("\n{table}{hint}")
}

fn verdict(judged: &JudgedRule) -> String {
    match judged.verdict {
        RuleVerdict::Met => "met".to_owned(),
        RuleVerdict::Beaten => "matches too, but goes after".to_owned(),
        RuleVerdict::Missed => judged.missing.join("; "),
        RuleVerdict::Open => "-".to_owned(),
    }
}

/// What is done to requests, and how they are treated.
fn lines(edits: &[String], treatment: &[Treatment]) -> String {
    let edits = edits.iter().map(|edit| line("edit", edit));
    let sections = treatment.iter().map(|section| {
        let set_by = section.set_by.as_deref().unwrap_or("default");
        line(&section.section, &format!("{}  [{set_by}]", section.says))
    });
    edits.chain(sections).collect()
}

fn under_way(bounds: &[Bound]) -> String {
    let told = bounds.iter().map(|bound| {
        let Bound { what, used, max } = bound;
        let max = max.map_or_else(String::new, |max| format!(" of {max}"));
        let open = if bound.is_reached() {
            " (circuit open)"
        } else {
            ""
        };
        format!("{what} {used}{max}{open}")
    });
    told.collect::<Vec<_>>().join(", ")
}

fn told(destination: &ExplainedDestination, total: u64, width: Option<usize>) -> String {
    let to = destination.to.as_deref().unwrap_or("nowhere");
    let weight = destination.weight;
    let share = if u64::from(weight) == total && total > 0 {
        to.to_owned()
    } else {
        format!("{to}, {weight} of {total}")
    };
    let mut text = format!("\n{}", line("to", &share));
    if let Some(problem) = &destination.problem {
        text += &line("unresolved", problem);
    }
    if let Some(selection) = &destination.selection {
        text += &line("chosen", selection);
    }
    text += &lines(&destination.edits, &destination.treatment);
    if !destination.bounds.is_empty() {
        text += &line("under way", &under_way(&destination.bounds));
    }
    if destination.endpoints.is_empty() {
        return text;
    }
    let columns = [
        Column::text("endpoint"),
        Column::name("workload"),
        Column::name("node"),
        Column::name("zone"),
        Column::text("state"),
        Column::number("weight"),
    ];
    let mut table = Table::new(columns, width);
    for endpoint in &destination.endpoints {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        table.row([
            endpoint.address.to_string(),
            or_dash(&endpoint.workload),
            or_dash(&endpoint.node),
            or_dash(&endpoint.zone),
            endpoint.state_in_words(),
            endpoint.weight.to_string(),
        ]);
    }
    text + &table.to_string()
}

#[cfg(test)]
mod tests;
