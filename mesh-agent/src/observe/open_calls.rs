//! gRPC calls under way: noted by the sessions of the proxy, each for itself, and read by a scrape.

use super::{DestinationLabels, SourceLabels};
use http::uri::PathAndQuery;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

/// One call under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallUnderWay {
    /// Who calls.
    pub source: Arc<SourceLabels>,
    /// Which Service; the workload is that of its latest try, empty before the first.
    pub destination: Arc<DestinationLabels>,
    /// What.
    pub path: PathAndQuery,
    /// When it began.
    pub started: Instant,
}

/// The sessions that there are.
#[derive(Debug, Default)]
pub struct OpenCalls {
    sessions: Mutex<Vec<Weak<SessionCalls>>>,
}

/// The calls of one session; it goes with it.
#[derive(Debug)]
pub struct SessionCalls {
    source: Arc<SourceLabels>,
    destination: Arc<DestinationLabels>,
    places: Mutex<Places>,
}

/// Calls at their places, at most as many as the session has had streams at once.
#[derive(Debug, Default)]
struct Places {
    calls: Vec<Option<Noted>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Noted {
    /// `None`: that of the session.
    destination: Option<Arc<DestinationLabels>>,
    path: PathAndQuery,
    started: Instant,
}

/// A call that is counted until it is dropped.
#[derive(Debug)]
pub struct OpenCall {
    session: Arc<SessionCalls>,
    place: usize,
}

impl OpenCalls {
    /// Begins a session of a caller.
    #[must_use]
    pub fn join(
        &self,
        source: Arc<SourceLabels>,
        destination: Arc<DestinationLabels>,
    ) -> Arc<SessionCalls> {
        let session = Arc::new(SessionCalls {
            source,
            destination,
            places: Mutex::default(),
        });
        let mut sessions = lock(&self.sessions);
        // So that those that are over do not pile up where nobody reads.
        if sessions.len() == sessions.capacity() {
            sessions.retain(|session| session.strong_count() > 0);
        }
        sessions.push(Arc::downgrade(&session));
        session
    }

    /// What is under way now.
    #[must_use]
    pub fn under_way(&self) -> Vec<CallUnderWay> {
        let mut sessions = lock(&self.sessions);
        sessions.retain(|session| session.strong_count() > 0);
        let living: Vec<Arc<SessionCalls>> = sessions.iter().filter_map(Weak::upgrade).collect();
        drop(sessions);
        let calls = living.iter().flat_map(|session| session.under_way());
        calls.collect()
    }
}

impl SessionCalls {
    /// Who calls, and which Service.
    #[must_use]
    pub fn labels(&self) -> (Arc<SourceLabels>, Arc<DestinationLabels>) {
        (Arc::clone(&self.source), Arc::clone(&self.destination))
    }

    /// Counts a call.
    #[must_use]
    pub fn begin(session: &Arc<Self>, path: PathAndQuery, started: Instant) -> OpenCall {
        let noted = Some(Noted {
            destination: None,
            path,
            started,
        });
        let mut places = lock(&session.places);
        let place = match places.free.pop() {
            Some(place) => {
                places.calls[place] = noted;
                place
            }
            None => {
                places.calls.push(noted);
                places.calls.len() - 1
            }
        };
        drop(places);
        OpenCall {
            session: Arc::clone(session),
            place,
        }
    }

    fn under_way(&self) -> Vec<CallUnderWay> {
        let places = lock(&self.places);
        let calls = places.calls.iter().flatten().map(|noted| {
            let destination = noted.destination.as_ref().unwrap_or(&self.destination);
            CallUnderWay {
                source: Arc::clone(&self.source),
                destination: Arc::clone(destination),
                path: noted.path.clone(),
                started: noted.started,
            }
        });
        calls.collect()
    }
}

impl OpenCall {
    /// A try of it goes to this destination.
    pub fn goes_to(&self, destination: &Arc<DestinationLabels>) {
        let mut places = lock(&self.session.places);
        if let Some(Some(noted)) = places.calls.get_mut(self.place) {
            noted.destination = Some(Arc::clone(destination));
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let mut places = lock(&self.session.places);
        if let Some(noted) = places.calls.get_mut(self.place) {
            *noted = None;
            places.free.push(self.place);
        }
    }
}

/// Nothing under these locks leaves things half done, so a poisoned one is as good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{OpenCalls, SessionCalls};
    use crate::observe::{DestinationLabels, SourceLabels};
    use http::uri::PathAndQuery;
    use std::sync::Arc;
    use std::time::Instant;

    const RESERVE: &str = "/shop.Inventory/Reserve";
    const LIST: &str = "/shop.Inventory/List";

    fn destination(workload: &str) -> Arc<DestinationLabels> {
        Arc::new(DestinationLabels {
            service: "inventory".into(),
            namespace: "shop".into(),
            workload: workload.into(),
        })
    }

    fn session(calls: &OpenCalls, workload: &str) -> Arc<SessionCalls> {
        let source = SourceLabels {
            workload: workload.into(),
            namespace: "shop".into(),
        };
        calls.join(Arc::new(source), destination(""))
    }

    fn seen(calls: &OpenCalls) -> Vec<(String, String, String)> {
        let under_way = calls.under_way().into_iter();
        let mut seen: Vec<_> = under_way
            .map(|call| {
                (
                    call.source.workload.to_string(),
                    call.path.to_string(),
                    call.destination.workload.to_string(),
                )
            })
            .collect();
        seen.sort();
        seen
    }

    fn row(who: &str, what: &str, whom: &str) -> (String, String, String) {
        (who.to_owned(), what.to_owned(), whom.to_owned())
    }

    #[test]
    fn a_call_is_open_until_it_is_dropped_and_its_place_is_used_again() {
        let calls = OpenCalls::default();
        let (order, cart) = (session(&calls, "order"), session(&calls, "cart"));
        let begin = |session, path| {
            SessionCalls::begin(session, PathAndQuery::from_static(path), Instant::now())
        };
        let one = begin(&order, RESERVE);
        let two = begin(&order, RESERVE);
        let three = begin(&cart, LIST);
        assert_eq!(
            seen(&calls),
            [
                row("cart", LIST, ""),
                row("order", RESERVE, ""),
                row("order", RESERVE, "")
            ]
        );

        drop((one, three));
        assert_eq!(seen(&calls), [row("order", RESERVE, "")]);
        let again = begin(&order, LIST);
        assert_eq!(order.places.lock().unwrap().calls.len(), 2);
        assert_eq!(
            seen(&calls),
            [row("order", LIST, ""), row("order", RESERVE, "")]
        );
        drop((again, two));
        assert_eq!(seen(&calls), []);
    }

    #[test]
    fn a_call_is_where_its_latest_try_goes() {
        let calls = OpenCalls::default();
        let order = session(&calls, "order");
        let path = PathAndQuery::from_static(RESERVE);
        let call = SessionCalls::begin(&order, path, Instant::now());
        for workload in ["inventory-v1", "inventory-v2"] {
            call.goes_to(&destination(workload));
            assert_eq!(seen(&calls), [row("order", RESERVE, workload)]);
        }
    }

    #[test]
    fn sessions_that_are_over_do_not_pile_up() {
        let calls = OpenCalls::default();
        for _ in 0..1_000 {
            drop(session(&calls, "order"));
        }
        assert!(calls.sessions.lock().unwrap().len() < 10);
        let kept: Vec<_> = (0..100).map(|_| session(&calls, "order")).collect();
        assert!(calls.sessions.lock().unwrap().len() >= kept.len());
    }
}
