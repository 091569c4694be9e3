//! gRPC calls under way: noted by the sessions of the proxy, each for itself, and read by a scrape.

use super::{DestinationLabels, SourceLabels};
use http::uri::PathAndQuery;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Calls under way of one caller to one method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSeries {
    /// Who calls.
    pub source: Arc<SourceLabels>,
    /// Which Service was called.
    pub destination: Arc<DestinationLabels>,
    /// What.
    pub path: PathAndQuery,
    /// How many.
    pub count: u64,
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
    /// As many as the session has streams.
    paths: Mutex<HashMap<PathAndQuery, u64>>,
}

/// A call that is counted until it is dropped.
#[derive(Debug)]
pub struct OpenCall {
    session: Arc<SessionCalls>,
    path: PathAndQuery,
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
            paths: Mutex::default(),
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
    pub fn series(&self) -> Vec<OpenSeries> {
        let mut sessions = lock(&self.sessions);
        sessions.retain(|session| session.strong_count() > 0);
        let living: Vec<Arc<SessionCalls>> = sessions.iter().filter_map(Weak::upgrade).collect();
        drop(sessions);
        living.iter().flat_map(|session| session.series()).collect()
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
    pub fn begin(session: &Arc<Self>, path: PathAndQuery) -> OpenCall {
        *lock(&session.paths).entry(path.clone()).or_default() += 1;
        OpenCall {
            session: Arc::clone(session),
            path,
        }
    }

    fn series(&self) -> Vec<OpenSeries> {
        let paths = lock(&self.paths);
        let series = paths.iter().map(|(path, count)| OpenSeries {
            source: Arc::clone(&self.source),
            destination: Arc::clone(&self.destination),
            path: path.clone(),
            count: *count,
        });
        series.collect()
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let mut paths = lock(&self.session.paths);
        let Some(count) = paths.get_mut(&self.path) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            paths.remove(&self.path);
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

    fn session(calls: &OpenCalls, workload: &str) -> Arc<SessionCalls> {
        let source = SourceLabels {
            workload: workload.into(),
            namespace: "shop".into(),
        };
        let destination = DestinationLabels {
            service: "inventory".into(),
            namespace: "shop".into(),
            workload: "".into(),
        };
        calls.join(Arc::new(source), Arc::new(destination))
    }

    fn seen(calls: &OpenCalls) -> Vec<(String, String, u64)> {
        let series = calls.series().into_iter();
        let mut seen: Vec<_> = series
            .map(|open| {
                (
                    open.source.workload.to_string(),
                    open.path.to_string(),
                    open.count,
                )
            })
            .collect();
        seen.sort();
        seen
    }

    #[test]
    fn a_call_is_open_until_it_is_dropped() {
        let calls = OpenCalls::default();
        let (order, cart) = (session(&calls, "order"), session(&calls, "cart"));
        let reserve = PathAndQuery::from_static("/shop.Inventory/Reserve");
        let list = PathAndQuery::from_static("/shop.Inventory/List");
        let one = SessionCalls::begin(&order, reserve.clone());
        let two = SessionCalls::begin(&order, reserve.clone());
        let three = SessionCalls::begin(&cart, list);

        let row = |who: &str, what: &str, count| (who.to_owned(), what.to_owned(), count);
        let (reserve, list) = (reserve.as_str(), "/shop.Inventory/List");
        assert_eq!(
            seen(&calls),
            [row("cart", list, 1), row("order", reserve, 2)]
        );
        drop((one, three));
        assert_eq!(seen(&calls), [row("order", reserve, 1)]);
        drop(two);
        assert_eq!(seen(&calls), []);
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
