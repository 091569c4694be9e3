//! `mesh-agent tap`

use super::output::{complain, print};
use super::{AdminArgument, CommandError, OutputFormat, Verdict, client};
use crate::api::quantity::{bytes, count, duration, parse_duration};
use crate::api::{StatusFilter, TapQuery, TappedRpc};
use std::fmt::Display;
use std::time::Duration;

/// Which RPCs to show; everything that is given must be so.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where the agent is.
    #[command(flatten)]
    admin: AdminArgument,

    /// RPCs to this Service, `NAMESPACE/NAME` or its name
    #[arg(long, env = "MESH_SERVICE", value_name = "NAME")]
    service: Option<String>,

    /// RPCs of this method, `package.Service/Method` or the part before or behind the slash
    #[arg(long, env = "MESH_METHOD", value_name = "NAME")]
    method: Option<String>,

    /// RPCs that ended with this status; FAILED: with any but OK
    #[arg(long, env = "MESH_STATUS", value_name = "STATUS", value_parser = StatusFilter::parse)]
    status: Option<StatusFilter>,

    /// RPCs that took so long at least
    #[arg(long, env = "MESH_MIN_LATENCY", value_name = "DURATION", value_parser = parse_duration)]
    min_latency: Option<Duration>,

    /// End after so many RPCs [default: go on until Ctrl-C]
    #[arg(long, env = "MESH_MAX", value_name = "N")]
    max: Option<u64>,
}

impl Arguments {
    fn query(&self) -> TapQuery {
        TapQuery {
            service: self.service.clone(),
            method: self.method.clone(),
            status: self.status,
            min_latency: self.min_latency,
            limit: self.max,
        }
    }
}

pub(super) fn execute(
    arguments: &Arguments,
    output: OutputFormat,
) -> Result<Verdict, CommandError> {
    let path = format!("/api/tap?{}", arguments.query().to_query());
    let mut lost = 0;
    if output == OutputFormat::Table {
        print(&line(&HEADERS));
    }
    let ended = client::follow(arguments.admin.admin, &path, |rpc: TappedRpc| {
        lost = rpc.lost;
        match output {
            OutputFormat::Table => print(&line(&cells(&rpc))),
            OutputFormat::Json => print(&json(&rpc)),
        }
    });
    if lost > 0 {
        let lines = count(usize::try_from(lost).unwrap_or(usize::MAX), "RPC");
        complain(&format!(
            "{lines} more matched and were lost: they came faster than they were read"
        ));
    }
    ended?;
    Ok(Verdict::Fine)
}

const HEADERS: [&str; 8] = [
    "TIME (UTC)",
    "SOURCE",
    "DESTINATION",
    "METHOD",
    "PATH",
    "STATUS",
    "LATENCY",
    "BYTES",
];

fn cells(rpc: &TappedRpc) -> [String; 8] {
    let destination = if rpc.workload.is_empty() {
        &rpc.service
    } else {
        &rpc.workload
    };
    [
        time_of_day(rpc.started_seconds),
        rpc.source.clone(),
        destination.clone(),
        rpc.method.clone(),
        rpc.path.clone(),
        rpc.status.clone(),
        duration(rpc.latency_seconds),
        bytes(rpc.request_bytes.saturating_add(rpc.response_bytes)),
    ]
}

/// A row of columns as wide as names usually are: those of the rows to come are not known.
fn line(cells: &[impl Display; 8]) -> String {
    let [
        time,
        source,
        destination,
        method,
        path,
        status,
        latency,
        bytes,
    ] = cells;
    format!(
        "{time:<12}  {source:<20}  {destination:<20}  {method:<36}  {path:<6}  {status:<16}  {latency:>8}  {bytes:>9}\n"
    )
}

fn json(rpc: &TappedRpc) -> String {
    // A record of strings and numbers can be written.
    let mut line = serde_json::to_string(rpc).unwrap_or_default();
    line.push('\n');
    line
}

/// `HH:MM:SS.mmm` of a moment in seconds since 1970.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float that becomes an integer saturates"
)]
fn time_of_day(seconds: f64) -> String {
    let milliseconds = (seconds * 1e3) as u64 % 86_400_000;
    let (seconds, milliseconds) = (milliseconds / 1_000, milliseconds % 1_000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    format!(
        "{:02}:{:02}:{seconds:02}.{milliseconds:03}",
        minutes / 60,
        minutes % 60
    )
}

#[cfg(test)]
mod tests {
    use super::{HEADERS, cells, line, time_of_day};
    use crate::api::TappedRpc;

    #[test]
    fn a_line_has_what_one_looks_for_below_its_header() {
        let rpc = TappedRpc {
            started_seconds: 1_700_000_000.25,
            source: "shop/order".to_owned(),
            service: "shop/inventory".to_owned(),
            workload: String::new(),
            method: "shop.Inventory/Reserve".to_owned(),
            path: "routed".to_owned(),
            status: "OK".to_owned(),
            latency_seconds: 0.001_2,
            first_response_seconds: None,
            request_bytes: 1_000,
            response_bytes: 1_048,
            attempts: Some(1),
            local_reply: None,
            trace_id: None,
            chosen_for: vec![],
            lost: 0,
        };
        assert_eq!(
            format!("\n{}{}", line(&HEADERS), line(&cells(&rpc))),
            "
TIME (UTC)    SOURCE                DESTINATION           METHOD                                PATH    STATUS             LATENCY      BYTES
22:13:20.250  shop/order            shop/inventory        shop.Inventory/Reserve                routed  OK                  1.2 ms    2.0 KiB
"
        );
    }

    #[test]
    fn the_day_begins_at_midnight() {
        assert_eq!(time_of_day(0.0), "00:00:00.000");
        assert_eq!(time_of_day(86_399.999), "23:59:59.999");
        assert_eq!(time_of_day(86_400.0), "00:00:00.000");
        assert_eq!(time_of_day(-1.0), "00:00:00.000");
    }
}
