//! Endpoints that the proxy keeps requests from, told among those in force.

use crate::api::Endpoint;
use crate::proxy::Ejected;
use std::collections::HashMap;
use std::net::SocketAddr;

/// The state of an endpoint that no other reason keeps requests from.
const IN_USE: &str = "in use";

/// What the proxy keeps requests from at one moment: Service, port, endpoint, and its state.
#[derive(Debug)]
pub(super) struct Ejections(HashMap<(String, u16, SocketAddr), &'static str>);

impl Ejections {
    pub(super) fn new(ejected: Vec<Ejected>) -> Self {
        let states = ejected.into_iter().map(|ejected| {
            let state = if ejected.is_probed {
                "probed"
            } else {
                "ejected"
            };
            let key = (ejected.service.to_string(), ejected.port, ejected.address);
            (key, state)
        });
        Self(states.collect())
    }

    /// The endpoint with the state that it has by this.
    pub(super) fn applied_to(&self, mut endpoint: Endpoint) -> Endpoint {
        if self.0.is_empty() || endpoint.state != IN_USE {
            return endpoint;
        }
        let key = (endpoint.service, endpoint.port, endpoint.address);
        if let Some(state) = self.0.get(&key) {
            (*state).clone_into(&mut endpoint.state);
        }
        endpoint.service = key.0;
        endpoint
    }
}

#[cfg(test)]
mod tests {
    use super::Ejections;
    use crate::api::Endpoint;
    use crate::model::ObjectName;
    use crate::proxy::Ejected;

    fn endpoint(service: &str, port: u16, state: &str) -> Endpoint {
        Endpoint {
            service: service.to_owned(),
            port,
            address: "10.0.0.1:80".parse().unwrap(),
            workload: None,
            pod: None,
            node: None,
            zone: None,
            state: state.to_owned(),
            weight: 1,
        }
    }

    #[test]
    fn only_an_endpoint_in_use_of_that_service_port_is_ejected() {
        for (is_probed, expected) in [(false, "ejected"), (true, "probed")] {
            let ejections = Ejections::new(vec![Ejected {
                service: ObjectName::new("shop", "cart"),
                port: 80,
                address: "10.0.0.1:80".parse().unwrap(),
                is_probed,
            }]);
            for (service, port, state, expected) in [
                ("shop/cart", 80, "in use", expected),
                ("shop/cart", 80, "terminating", "terminating"),
                ("shop/cart", 81, "in use", "in use"),
                ("shop/stock", 80, "in use", "in use"),
            ] {
                let told = ejections.applied_to(endpoint(service, port, state));
                assert_eq!(told, endpoint(service, port, expected));
            }
        }
    }
}
