//! `mesh-agent explain --to SERVICE:PORT`

use super::in_force::InForceArguments;
use super::routes::matches;
use super::table::{Column, Table};
use super::{CommandError, OutputFormat, Verdict};
use crate::api::{
    Call, Caller, ExplainQuery, ExplainedDestination, Explanation, Header, JudgedRule, RuleVerdict,
    Target, Treatment,
};

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
        .ask(&path, |plans| plans.explain(&query))?;
    output.print(&explanation, |width| report(&explanation, width));
    Ok(if explanation.answer.is_none() {
        Verdict::Fine
    } else {
        Verdict::SomethingWrong
    })
}

/// The request, then its way: path, rule, destinations with their endpoints.
fn report(explanation: &Explanation, width: Option<usize>) -> String {
    let is_routed = explanation.path == "routed";
    let mut text = line("request", &request(explanation));
    text += &line(
        "path",
        &format!("{}: {}", explanation.path, explanation.why),
    );
    if is_routed {
        text += &line("protocol", &protocol(explanation));
        text += &line("failure mode", failure(&explanation.failure_mode));
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

fn failure(mode: &str) -> &'static str {
    match mode {
        "Closed" => "Closed: without the proxy, connections are refused (ECONNREFUSED)",
        _ => "Open: without the proxy, connections go straight to an endpoint of the Service",
    }
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
            endpoint.state.clone(),
            endpoint.weight.to_string(),
        ]);
    }
    text + &table.to_string()
}

#[cfg(test)]
mod tests;
