//! `mesh-agent top`

use super::output::redraw;
use super::table::{Column, Table};
use super::{AdminArgument, CommandError, OutputFormat, Verdict, client};
use crate::api::quantity::duration;
use crate::api::{MethodTotals, RpcSide, Rpcs};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

/// Between two readings: the agent takes a new one after a second at the earliest.
const PERIOD: Duration = Duration::from_millis(1_050);

/// How to show it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where the agent is.
    #[command(flatten)]
    admin: AdminArgument,

    /// Show one second and end
    #[arg(long, env = "MESH_ONCE")]
    once: bool,
}

/// One method during the time between two readings.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Row {
    service: String,
    method: String,
    side: RpcSide,
    path: String,
    /// RPCs that ended, per second.
    rate: f64,
    /// The share of them that failed.
    error_share: f64,
    /// Half of them took no longer; none: there were none.
    p50_seconds: Option<f64>,
    /// 99 of 100 took no longer.
    p99_seconds: Option<f64>,
    /// RPCs that are open now.
    active: u64,
}

pub(super) fn execute(arguments: Arguments, output: OutputFormat) -> Result<Verdict, CommandError> {
    let admin = arguments.admin.admin;
    let mut before = read(admin)?;
    loop {
        sleep(PERIOD);
        let now = read(admin)?;
        if now.taken_seconds == before.taken_seconds {
            continue;
        }
        let rows = rows(&before, &now);
        if arguments.once || output == OutputFormat::Json {
            output.print(&rows, |width| table(&rows, width));
        } else {
            redraw(|width| table(&rows, width));
        }
        if arguments.once {
            return Ok(Verdict::Fine);
        }
        before = now;
    }
}

fn read(admin: SocketAddr) -> Result<Rpcs, CommandError> {
    Ok(client::get(admin, "/api/rpcs")?)
}

/// What happened between two readings, the busiest first. Methods where nothing did and nothing is open are left out.
fn rows(before: &Rpcs, now: &Rpcs) -> Vec<Row> {
    let seconds = now.taken_seconds - before.taken_seconds;
    let earlier: BTreeMap<_, _> = before
        .methods
        .iter()
        .map(|totals| (identity(totals), totals))
        .collect();
    let mut rows: Vec<Row> = now
        .methods
        .iter()
        .filter_map(|totals| {
            let earlier = earlier.get(&identity(totals)).copied();
            row(earlier, totals, &now.boundaries_seconds, seconds)
        })
        .collect();
    rows.sort_by(|one, other| other.rate.total_cmp(&one.rate));
    rows
}

fn identity(totals: &MethodTotals) -> (&str, &str, RpcSide, &str) {
    (&totals.service, &totals.method, totals.side, &totals.path)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a second are far below 2^52"
)]
fn row(
    earlier: Option<&MethodTotals>,
    totals: &MethodTotals,
    boundaries: &[f64],
    seconds: f64,
) -> Option<Row> {
    // Another agent may have begun to count anew.
    let since =
        |count: fn(&MethodTotals) -> u64| count(totals).saturating_sub(earlier.map_or(0, count));
    let (completed, failed) = (since(MethodTotals::completed), since(MethodTotals::failed));
    if completed == 0 && totals.active == 0 {
        return None;
    }
    let buckets: Vec<u64> = totals
        .buckets
        .iter()
        .enumerate()
        .map(|(index, count)| {
            let before = earlier.and_then(|earlier| earlier.buckets.get(index));
            count.saturating_sub(before.copied().unwrap_or(0))
        })
        .collect();
    Some(Row {
        service: totals.service.clone(),
        method: totals.method.clone(),
        side: totals.side,
        path: totals.path.clone(),
        rate: completed as f64 / seconds,
        error_share: failed as f64 / completed.max(1) as f64,
        p50_seconds: quantile(0.5, boundaries, &buckets),
        p99_seconds: quantile(0.99, boundaries, &buckets),
        active: totals.active,
    })
}

/// A quantile of cumulative buckets, as Prometheus' `histogram_quantile` estimates it.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a second are far below 2^52"
)]
fn quantile(share: f64, boundaries: &[f64], buckets: &[u64]) -> Option<f64> {
    let total = *buckets.last().filter(|total| **total > 0)?;
    let rank = share * total as f64;
    let index = buckets.iter().position(|count| *count as f64 >= rank)?;
    let Some(upper) = boundaries.get(index) else {
        // In the bucket without an end: at least the last boundary.
        return boundaries.last().copied();
    };
    let (lower, below) = match index.checked_sub(1) {
        Some(previous) => (boundaries[previous], buckets[previous]),
        None => (0.0, 0),
    };
    let inside = (buckets[index] - below) as f64;
    Some(lower + (upper - lower) * (rank - below as f64) / inside.max(1.0))
}

fn table(rows: &[Row], width: Option<usize>) -> String {
    if rows.is_empty() {
        return "no RPC ended or is open\n".to_owned();
    }
    let mut table = Table::new(
        [
            Column::name("service"),
            Column::name("method"),
            Column::text("side"),
            Column::text("path"),
            Column::number("rpc/s"),
            Column::number("errors"),
            Column::number("p50"),
            Column::number("p99"),
            Column::number("active"),
        ],
        width,
    );
    let time = |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), duration);
    for row in rows {
        table.row([
            row.service.clone(),
            row.method.clone(),
            match row.side {
                RpcSide::Client => "client".to_owned(),
                RpcSide::Server => "server".to_owned(),
            },
            if row.path.is_empty() {
                "–".to_owned()
            } else {
                row.path.clone()
            },
            format!("{:.1}", row.rate),
            format!("{:.2} %", row.error_share * 100.0),
            time(row.p50_seconds),
            time(row.p99_seconds),
            row.active.to_string(),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::{quantile, rows, table};
    use crate::api::{MethodTotals, RpcSide, Rpcs};
    use std::collections::BTreeMap;

    fn reading(seconds: f64, methods: &[(&str, u64, u64, [u64; 3], u64)]) -> Rpcs {
        Rpcs {
            taken_seconds: seconds,
            boundaries_seconds: vec![0.001, 0.01],
            methods: methods
                .iter()
                .map(|(method, fine, failed, buckets, active)| MethodTotals {
                    service: "shop/inventory".to_owned(),
                    method: (*method).to_owned(),
                    side: RpcSide::Client,
                    path: "routed".to_owned(),
                    statuses: BTreeMap::from([
                        ("OK".to_owned(), *fine),
                        ("INTERNAL".to_owned(), *failed),
                    ]),
                    buckets: buckets.to_vec(),
                    sum_seconds: 0.0,
                    active: *active,
                })
                .collect(),
        }
    }

    #[test]
    fn what_happened_in_between_is_shown_the_busiest_first() {
        let mut before = reading(10.0, &[("a.B/Few", 5, 0, [5, 5, 5], 0)]);
        let now = reading(
            12.0,
            &[
                ("a.B/Few", 7, 0, [7, 7, 7], 0),
                ("a.B/Idle", 9, 9, [18, 18, 18], 0),
                ("a.B/Many", 150, 50, [0, 200, 200], 3),
            ],
        );
        before.methods.push(now.methods[1].clone());
        assert_eq!(
            format!("\n{}", table(&rows(&before, &now), Some(100))),
            "
SERVICE         METHOD    SIDE    PATH    RPC/S   ERRORS     P50     P99  ACTIVE
shop/inventory  a.B/Many  client  routed  100.0  25.00 %  5.5 ms  9.9 ms       3
shop/inventory  a.B/Few   client  routed    1.0   0.00 %  500 µs  990 µs       0
"
        );
    }

    #[test]
    fn an_agent_that_counts_anew_is_no_surprise() {
        let before = reading(10.0, &[("a.B/C", 500, 0, [500, 500, 500], 0)]);
        let now = reading(11.0, &[("a.B/C", 1, 0, [1, 1, 1], 1)]);
        let rows = rows(&before, &now);
        assert_eq!((rows[0].rate, rows[0].p50_seconds), (0.0, None));
    }

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        for (share, buckets, expected_us) in [
            (0.5, [10, 10, 10], Some(500.0)),
            (0.5, [0, 10, 10], Some(5_500.0)),
            (0.99, [0, 0, 10], Some(10_000.0)),
            (0.5, [0, 0, 0], None),
        ] {
            let seconds = quantile(share, &[0.001, 0.01], &buckets);
            assert_eq!(seconds.map(|seconds| (seconds * 1e6).round()), expected_us);
        }
    }
}
