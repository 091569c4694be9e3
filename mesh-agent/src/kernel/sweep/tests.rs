//! Sweeps over connections that close, get lost and vanish.

use super::{Connections, End, Sweep};
use mesh_common::meter::StatusCode;
use mesh_common::meter::record::{METHOD_OTHER, MeteredConnection, RpcKey, RpcRow, Side, Stream};
use zerocopy::FromZeros as _;

const SECOND: u64 = 1_000_000_000;

fn connection(closed_ns: u64, lost_ns: u64, is_adopted: bool) -> MeteredConnection {
    MeteredConnection {
        closed_ns,
        lost_ns,
        is_adopted: u32::from(is_adopted),
        reserved: 0,
    }
}

fn stream(started_ns: u64) -> Stream {
    Stream {
        started_ns,
        source: 3,
        destination: 4,
        request_bytes: 100,
        response_bytes: 200,
        ..Stream::new_zeroed()
    }
}

#[test]
fn what_becomes_of_an_open_rpc_follows_from_its_connection() {
    let at = 5 * SECOND;
    let aborted = Some(End::Aborted {
        at_ns: at,
        is_adopted: false,
    });
    for (known, started_ns, now_ns, expected) in [
        (connection(0, 0, false), SECOND, 9 * SECOND, None),
        (connection(at, 0, false), SECOND, at + SECOND - 1, None),
        (connection(at, 0, false), SECOND, at + SECOND, aborted),
        (connection(0, at, false), at, at + SECOND - 1, None),
        (connection(0, at, false), at, at + SECOND, Some(End::Lost)),
        (connection(0, at, false), at + 1, 9 * SECOND, None),
        // Closed and lost: what began before it was lost is lost, the rest ended with the connection.
        (
            connection(at, SECOND, false),
            SECOND,
            at + SECOND,
            Some(End::Lost),
        ),
        (
            connection(at, SECOND, false),
            SECOND + 1,
            at + SECOND,
            aborted,
        ),
        // A loss that has not rested does not keep the RPC from going with its connection.
        (
            connection(at, at + 1, false),
            SECOND,
            at + SECOND,
            Some(End::Lost),
        ),
    ] {
        let connections = Connections::from([(1, known)]);
        let end = Sweep::new(8).judge(1, &stream(started_ns), &connections, now_ns);
        assert_eq!(end, expected, "{known:?} at {now_ns}");
    }
}

#[test]
fn an_rpc_without_a_connection_is_lost_at_the_second_look() {
    let mut sweep = Sweep::new(8);
    let none = Connections::new();
    let look = |sweep: &mut Sweep, now_ns| {
        let end = sweep.judge(7, &stream(1), &none, now_ns);
        sweep.finish(&none, [7], now_ns);
        end
    };

    assert_eq!(look(&mut sweep, SECOND), None);
    assert_eq!(look(&mut sweep, 2 * SECOND - 1), None);
    assert!(
        sweep.begin(&none, 2 * SECOND),
        "what is missed is looked for"
    );
    assert_eq!(look(&mut sweep, 2 * SECOND), Some(End::Lost));
    sweep.finish(&none, [], 3 * SECOND);
    assert_eq!(
        look(&mut sweep, 4 * SECOND),
        None,
        "another one begins anew"
    );
}

#[test]
fn an_rpc_of_an_open_connection_outlasts_a_day_of_sweeps() {
    let mut sweep = Sweep::new(8);
    let mut sweeps = 0;
    for second in 2..86_400 {
        let now_ns = second * SECOND;
        // Every third second a neighbour goes, and takes its RPC along.
        let closed_ns = if second % 3 == 0 { now_ns - SECOND } else { 0 };
        let connections = Connections::from([
            (1, connection(0, 0, true)),
            (2, connection(closed_ns, 0, true)),
        ]);
        if !sweep.begin(&connections, now_ns) {
            continue;
        }
        sweeps += 1;
        let ends = [1, 2].map(|id| sweep.judge(id, &stream(SECOND), &connections, now_ns));
        assert_eq!(ends[0], None, "open for {second} s");
        assert_eq!(ends[1].is_some(), closed_ns != 0, "closed at {closed_ns}");
        let gone = sweep.finish(&connections, [], now_ns);
        assert!(!gone.contains(&1), "{gone:?}");
    }
    assert!(sweeps > 86_400 / 3, "{sweeps} sweeps");
}

#[test]
fn open_rpcs_are_looked_through_only_when_something_is_due() {
    let mut sweep = Sweep::new(8);
    let idle = Connections::from([(1, connection(0, 0, false))]);
    let lost = Connections::from([(1, connection(0, SECOND, false))]);
    let closed = Connections::from([(1, connection(SECOND, 0, false))]);

    assert!(!sweep.begin(&idle, 9 * SECOND));
    assert!(sweep.begin(&lost, 9 * SECOND));
    assert_eq!(sweep.finish(&lost, [], 9 * SECOND), Vec::<u64>::new());
    assert!(!sweep.begin(&lost, 10 * SECOND), "it was seen to");
    assert!(sweep.begin(&closed, 10 * SECOND));
    assert_eq!(sweep.finish(&closed, [], 10 * SECOND), [1]);
    let mut looks = (0..10).map(|_| sweep.begin(&idle, 11 * SECOND));
    assert!(
        looks.any(|is_due| is_due),
        "unknown connections are looked for"
    );
}

#[test]
fn an_aborted_rpc_is_a_call_that_was_unavailable_and_a_lost_one_is_none() {
    let mut sweep = Sweep::new(8);
    let mut answered = stream(SECOND);
    answered.first_ns = SECOND + 20_000;
    let end = End::Aborted {
        at_ns: 3 * SECOND,
        is_adopted: true,
    };

    sweep.count(&answered, end, 42);
    sweep.count(&stream(SECOND), End::Lost, METHOD_OTHER);

    assert_eq!((sweep.aborted(), sweep.lost()), (1, 1));
    let row = |status: StatusCode| -> (RpcKey, RpcRow) {
        let (key, row) = sweep
            .rows()
            .find(|(key, _)| key.status == status as u32)
            .unwrap();
        (*key, *row)
    };
    let (key, aborted) = row(StatusCode::Unavailable);
    assert_eq!((key.method, key.side), (42, Side::Both as u32));
    assert_eq!((key.source, key.destination), (3, 4));
    assert_eq!(aborted.duration.sum_ns, 2 * SECOND);
    assert_eq!(aborted.duration.buckets.iter().sum::<u64>(), 1);
    assert_eq!(aborted.first_response.sum_ns, 20_000);
    let (key, lost) = row(StatusCode::Unseen);
    assert_eq!((key.method, key.side), (METHOD_OTHER, Side::Client as u32));
    assert_eq!(lost.duration.buckets.iter().sum::<u64>(), 0);
    assert_eq!((lost.request_bytes, lost.response_bytes), (100, 200));
}

#[test]
fn rows_have_a_bound_and_go_with_their_destination() {
    let mut sweep = Sweep::new(1);
    let end = End::Aborted {
        at_ns: 2 * SECOND,
        is_adopted: false,
    };

    sweep.count(&stream(SECOND), end, 1);
    sweep.count(&stream(SECOND), end, 2);
    sweep.count(&stream(SECOND), end, 1);

    assert_eq!((sweep.aborted(), sweep.without_row()), (3, 1));
    assert_eq!(sweep.rows().count(), 1);
    sweep.retain(|destination| destination == 4);
    assert_eq!(sweep.rows().count(), 0);
    assert_eq!(sweep.aborted(), 3, "the total never goes back");
}
