//! The live table, as text.

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
}

/// Renders a view.
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
        writeln!(text, "last error: {error}")?;
    }
    writeln!(
        text,
        "\n{:<22} {:<13} {:>8} {:>7} {:>10}",
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
                "{name:<22} {endpoint:<13} {:>8.0} {:>5.0} % {:>10} {}",
                per_second(view.recent.calls(service.name, endpoint), seconds),
                share * 100.0,
                view.tally.calls(service.name, endpoint),
                bar(share),
            )?;
        }
    }
    writeln!(
        text,
        "\n{:<22} {:>7} {:>6} {:>7} {:>7} {:>17} {:>17}",
        "CONNECTIONS", "OPENED", "OPEN", "CLOSED", "FAILED", "CONNECT p50/p99", "RTT p50/p99"
    )?;
    for edge in view.edges {
        writeln!(
            text,
            "{:<22} {:>7} {:>6} {:>7} {:>7} {:>17} {:>17}",
            format!("{} > {}", edge.source, edge.destination),
            edge.opened,
            edge.active,
            edge.closed,
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

fn time(time_us: f64) -> String {
    if time_us < 1000.0 {
        return format!("{time_us:.0} µs");
    }
    format!("{:.1} ms", time_us / 1000.0)
}

/// A bar of at most twenty marks.
fn bar(share: f64) -> String {
    const LENGTH: u32 = 20;
    (0..LENGTH)
        .take_while(|mark| f64::from(*mark) + 0.5 <= share * f64::from(LENGTH))
        .map(|_| '#')
        .collect()
}
