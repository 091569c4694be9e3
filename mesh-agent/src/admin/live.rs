//! What the proxy is in the middle of, put beside what the configuration says.

use crate::api::{Bound, CallerListeners, Endpoint, Explanation};
use crate::observe::{BoundState, CallerNamespace, DestinationState, EjectedEndpoint, Live};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Endpoints that outlier detection keeps requests from, by Service, port and address.
#[derive(Debug, Default)]
pub(super) struct Ejections(HashMap<(String, u16, SocketAddr), Option<Duration>>);

impl Ejections {
    pub(super) fn of(destinations: &[DestinationState]) -> Self {
        let all = destinations.iter().flat_map(|state| {
            let service = name(state);
            state.ejected.iter().map(move |ejected| {
                let EjectedEndpoint { address, left } = *ejected;
                ((service.clone(), state.port, address), left)
            })
        });
        Self(all.collect())
    }

    /// Says of an endpoint in use that it gets no requests.
    pub(super) fn mark(&self, mut endpoint: Endpoint) -> Endpoint {
        // Of most agents' endpoints none is ejected.
        if self.0.is_empty() || endpoint.weight == 0 {
            return endpoint;
        }
        let key = (endpoint.service, endpoint.port, endpoint.address);
        if let Some(left) = self.0.get(&key) {
            let state = if left.is_some() { "ejected" } else { "probing" };
            endpoint.state = state.to_owned();
            endpoint.ejected_seconds = left.map(|left| left.as_secs_f64());
        }
        endpoint.service = key.0;
        endpoint
    }
}

/// Says of an explanation how things are now.
pub(super) fn add(explanation: &mut Explanation, live: &Live) {
    // On the direct path nobody's health is watched, and nobody listens.
    if !explanation.is_routed() {
        return;
    }
    let caller = explanation.caller_namespace.as_deref();
    explanation.listeners = Some(listeners(&live.callers, caller));
    let ejections = Ejections::of(&live.destinations);
    for destination in &mut explanation.destinations {
        let endpoints = std::mem::take(&mut destination.endpoints).into_iter();
        destination.endpoints = endpoints.map(|endpoint| ejections.mark(endpoint)).collect();
        let is_ipv6 = destination
            .endpoints
            .first()
            .map(|endpoint| endpoint.address.is_ipv6());
        let mut states = live.destinations.iter();
        let state = states.find(|state| {
            let to = format!("{}:{}", name(state), state.port);
            destination.to.as_ref() == Some(&to) && is_ipv6.is_none_or(|v6| v6 == state.is_ipv6)
        });
        destination.bounds = state.map_or_else(Vec::new, |state| {
            state.bounds.iter().map(Bound::from).collect()
        });
    }
}

/// The listeners that callers from a namespace meet; `None`: any callers.
fn listeners(callers: &[CallerNamespace], of: Option<&str>) -> CallerListeners {
    let is_asked_for = |caller: &&CallerNamespace| {
        of.is_none_or(|of| {
            let source = caller.source.as_ref();
            source.is_some_and(|source| *source.namespace == *of)
        })
    };
    let is_unknown = |caller: &&CallerNamespace| caller.source.is_none() && !caller.is_host;
    let asked_for = || callers.iter().filter(is_asked_for);
    CallerListeners {
        listening: asked_for()
            .filter(|caller| caller.refused.is_none())
            .count(),
        refused: asked_for()
            .filter_map(|caller| caller.refused.clone())
            .collect(),
        unknown: callers.iter().filter(is_unknown).count(),
    }
}

fn name(state: &DestinationState) -> String {
    format!("{}/{}", state.namespace, state.service)
}

impl From<&BoundState> for Bound {
    fn from(state: &BoundState) -> Self {
        Self {
            what: state.what.to_owned(),
            used: state.used,
            max: state.max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ejections, listeners};
    use crate::api::{CallerListeners, Endpoint};
    use crate::observe::{CallerNamespace, DestinationState, EjectedEndpoint, SourceLabels};
    use std::time::Duration;

    fn endpoint(port: u16, address: &str, weight: u32) -> Endpoint {
        Endpoint {
            service: "shop/inventory".to_owned(),
            port,
            address: address.parse().unwrap(),
            workload: None,
            pod: None,
            node: None,
            zone: None,
            state: "in use".to_owned(),
            ejected_seconds: None,
            weight,
        }
    }

    #[test]
    fn only_endpoints_in_use_of_that_service_port_are_ejected() {
        let ejected = |address: &str, left| EjectedEndpoint {
            address: address.parse().unwrap(),
            left,
        };
        let ejections = Ejections::of(&[DestinationState {
            service: "inventory".into(),
            namespace: "shop".into(),
            port: 80,
            is_ipv6: false,
            bounds: vec![],
            ejected: vec![
                ejected("10.1.0.5:1", Some(Duration::from_secs(12))),
                ejected("10.1.0.6:1", None),
                ejected("10.1.0.7:1", Some(Duration::ZERO)),
            ],
        }]);
        for (given, state) in [
            (endpoint(80, "10.1.0.5:1", 1), "ejected for 12.0 s"),
            (endpoint(80, "10.1.0.6:1", 1), "probing"),
            (
                endpoint(80, "10.1.0.7:1", 1),
                "ejected, its next request is a probe",
            ),
            (endpoint(80, "10.1.0.8:1", 1), "in use"),
            (endpoint(81, "10.1.0.5:1", 1), "in use"),
            (endpoint(80, "10.1.0.5:1", 0), "in use"),
        ] {
            let marked = ejections.mark(given.clone());
            assert_eq!(marked.state_in_words(), state, "{given:?}");
            assert_eq!(marked.service, given.service);
        }
    }

    #[test]
    fn listeners_are_those_of_the_namespace_asked_for() {
        let caller = |namespace: Option<&str>, is_host, refused: Option<&str>| CallerNamespace {
            source: namespace.map(|namespace| SourceLabels {
                workload: "order".into(),
                namespace: namespace.into(),
            }),
            is_host,
            refused: refused.map(str::to_owned),
        };
        let callers = [
            caller(Some("shop"), false, None),
            caller(Some("shop"), false, Some("no ports")),
            caller(Some("lab"), false, None),
            caller(None, false, None),
            caller(None, true, None),
        ];
        for (of, listening, refused) in [
            (Some("shop"), 1, 1),
            (Some("lab"), 1, 0),
            (Some("gone"), 0, 0),
            (None, 4, 1),
        ] {
            let expected = CallerListeners {
                listening,
                refused: vec!["no ports".to_owned(); refused],
                unknown: 1,
            };
            assert_eq!(listeners(&callers, of), expected, "{of:?}");
        }
    }
}
