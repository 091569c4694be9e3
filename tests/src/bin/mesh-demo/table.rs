//! The live table, as text.

use crate::calls::Calls;
use crate::cluster::SERVICES;
use crate::edge::Edge;
use mesh_tests::shop::Tally;
use std::fmt::Write;
use std::time::Duration;

/// What one table shows.
pub(crate) struct View<'a> {
    pub(crate) elapsed: Duration,
    pub(crate) total: Duration,
    /// Everything since the load began.
    pub(crate) tally: &'a Tally,
    /// What happened since the table before, and how long that is.
    pub(crate) recent: Tally,
    pub(crate) recent_time: Duration,
    pub(crate) edges: &'a [Edge],
    pub(crate) calls: &'a [Calls],
}

/// Renders a view, in lines of less than 80 characters: a line that wraps could not be redrawn.
pub(crate) fn table(view: &View<'_>) -> String {
    let mut text = String::new();
    write_table(&mut text, view).expect("writing to a String cannot fail");
    text
}

fn write_table(text: &mut String, view: &View<'_>) -> std::fmt::Result {
    let seconds = view.recent_time.as_secs_f64();
    writeln!(
        text,
        "\n{:>4.0} s of {:.0} s   {:.0} orders/s   p50 {}   p99 {}   errors {}",
        view.elapsed.as_secs_f64(),
        view.total.as_secs_f64(),
        per_second(view.recent.orders, seconds),
        time(micros(view.tally.order_p50_us)),
        time(micros(view.tally.order_p99_us)),
        view.tally.errors,
    )?;
    if let Some(error) = &view.tally.last_error {
        let beginning: String = error.chars().take(66).collect();
        writeln!(text, "last error: {beginning}")?;
    }
    write_services(text, view, seconds)?;
    write_connections(text, view.edges)?;
    write_calls(text, view.calls)
}

fn write_services(text: &mut String, view: &View<'_>, seconds: f64) -> std::fmt::Result {
    writeln!(
        text,
        "\n{:<21} {:<12} {:>7} {:>7} {:>8}",
        "SERVICE", "ENDPOINT", "CALLS/s", "SHARE", "CALLS"
    )?;
    for service in SERVICES {
        for (index, endpoint) in service.endpoints.iter().enumerate() {
            let name = match index {
                0 => format!("{} {}", service.name, service.cluster_ip),
                _ => String::new(),
            };
            let share = view.recent.share(service.name, endpoint);
            writeln!(
                text,
                "{name:<21} {endpoint:<12} {:>7.0} {:>5.0} % {:>8} {}",
                per_second(view.recent.calls(service.name, endpoint), seconds),
                share * 100.0,
                view.tally.calls(service.name, endpoint),
                bar(share),
            )?;
        }
    }
    Ok(())
}

fn write_connections(text: &mut String, edges: &[Edge]) -> std::fmt::Result {
    writeln!(
        text,
        "\n{:<19} {:>6} {:>4} {:>6} {:>19} {:>19}",
        "CONNECTIONS", "OPENED", "OPEN", "FAILED", "CONNECT p50/p99", "RTT p50/p99"
    )?;
    for edge in edges {
        writeln!(
            text,
            "{:<19} {:>6} {:>4} {:>6} {:>19} {:>19}",
            format!("{} > {}", edge.source, edge.destination),
            edge.opened,
            edge.active,
            edge.failed,
            format!(
                "{} / {}",
                time(edge.connect_p50_us),
                time(edge.connect_p99_us)
            ),
            format!("{} / {}", time(edge.rtt_p50_us), time(edge.rtt_p99_us)),
        )?;
    }
    Ok(())
}

fn write_calls(text: &mut String, calls: &[Calls]) -> std::fmt::Result {
    writeln!(
        text,
        "\n{:<33} {:>8} {:>4} {:>6} {:>19}",
        "GRPC CALLS, AS THE KERNEL SEES", "ENDED", "OPEN", "FAILED", "LATENCY p50/p99"
    )?;
    for calls in calls {
        writeln!(
            text,
            "{:<33} {:>8} {:>4} {:>6} {:>19}",
            format!("{} > {}", calls.source, calls.method),
            calls.total(),
            calls.active,
            calls.failed(),
            format!("{} / {}", time(calls.p50_us), time(calls.p99_us)),
        )?;
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a demo's counters stay far below 2^53"
)]
fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

#[expect(clippy::cast_precision_loss, reason = "times stay far below 2^53 µs")]
fn micros(time_us: u64) -> f64 {
    time_us as f64
}

/// A time in a unit that suits it.
pub(crate) fn time(time_us: f64) -> String {
    if time_us < 1000.0 {
        return format!("{time_us:.0} µs");
    }
    format!("{:.1} ms", time_us / 1000.0)
}

/// A bar of at most ten marks.
fn bar(share: f64) -> String {
    const LENGTH: u32 = 10;
    (0..LENGTH)
        .take_while(|mark| f64::from(*mark) + 0.5 <= share * f64::from(LENGTH))
        .map(|_| '#')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{JOINER, LEAVER};

    fn tally(orders: u64) -> Tally {
        let endpoints = [(LEAVER.to_owned(), orders), (JOINER.to_owned(), orders)];
        Tally {
            orders,
            answered: [("inventory".to_owned(), endpoints.into())].into(),
            last_error: Some("e".repeat(100)),
            order_p50_us: 999_999,
            order_p99_us: 999_999,
            ..Tally::default()
        }
    }

    #[test]
    fn no_line_wraps_in_a_terminal_of_80_columns() {
        let edges = SERVICES
            .iter()
            .map(|service| Edge {
                source: service.caller,
                destination: service.name,
                opened: 999_999,
                closed: 999_999,
                failed: 999_999,
                active: 9999,
                connect_p50_us: 99_999.0,
                connect_p99_us: 99_999.0,
                rtt_p50_us: 99_999.0,
                rtt_p99_us: 99_999.0,
            })
            .collect::<Vec<_>>();
        let calls = SERVICES
            .iter()
            .map(|service| Calls {
                source: service.caller,
                destination: service.name,
                method: "shop.Inventory/Reserve".to_owned(),
                ended: [("UNAVAILABLE".to_owned(), 999_999)].into(),
                active: 9_999,
                p50_us: 9_999_000.0,
                p99_us: 9_999_000.0,
            })
            .collect::<Vec<_>>();
        let text = table(&View {
            elapsed: Duration::from_secs(3600),
            total: Duration::from_secs(3600),
            tally: &tally(99_999_999),
            recent: tally(999_999),
            recent_time: Duration::from_secs(1),
            edges: &edges,
            calls: &calls,
        });
        for line in text.lines() {
            assert!(line.chars().count() < 80, "{line}");
        }
    }
}
