//! Which methods are labels: those that a server has answered, so that a caller cannot make up series.

use crate::grpc::GrpcPath;
use crate::observe::{DestinationLabels, METHOD_OTHER};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Methods of a Service that are labels.
pub(super) const METHODS_MAX: usize = 512;

/// Services whose methods are labels.
const SERVICES_MAX: usize = 8_192;

/// A longer path is no label.
const PATH_LENGTH_MAX: usize = 256;

/// Methods that are labels.
#[derive(Debug)]
pub(super) struct Methods {
    services: HashMap<(Arc<str>, Arc<str>), Labels>,
    other: Arc<str>,
}

/// Labels by path.
type Labels = HashMap<Arc<str>, Label>;

#[derive(Debug)]
struct Label {
    name: Arc<str>,
    /// From when on it is one.
    since: Instant,
}

impl Default for Methods {
    fn default() -> Self {
        Self {
            services: HashMap::new(),
            other: Arc::from(METHOD_OTHER),
        }
    }
}

impl Methods {
    /// Makes a method a label from `since` on, if it is one and there is room.
    pub(super) fn learn(&mut self, destination: &DestinationLabels, path: &str, since: Instant) {
        let key = key(destination);
        if self.services.len() >= SERVICES_MAX && !self.services.contains_key(&key) {
            return;
        }
        let labels = self.services.entry(key).or_default();
        if labels.len() >= METHODS_MAX || labels.contains_key(path) || path.len() > PATH_LENGTH_MAX
        {
            return;
        }
        if let Some(method) = GrpcPath::parse(path.as_bytes()) {
            let name = Arc::from(method.to_string());
            labels.insert(Arc::from(path), Label { name, since });
        }
    }

    /// The label of a method.
    pub(super) fn label(&self, destination: &DestinationLabels, path: &str) -> Arc<str> {
        let label = self.find(destination, path);
        Arc::clone(label.map_or(&self.other, |label| &label.name))
    }

    /// The label that a method had at a moment.
    pub(super) fn label_at(
        &self,
        destination: &DestinationLabels,
        path: &str,
        at: Instant,
    ) -> Arc<str> {
        let label = self.find(destination, path);
        let label = label.filter(|label| label.since <= at);
        Arc::clone(label.map_or(&self.other, |label| &label.name))
    }

    fn find(&self, destination: &DestinationLabels, path: &str) -> Option<&Label> {
        self.services.get(&key(destination))?.get(path)
    }
}

fn key(destination: &DestinationLabels) -> (Arc<str>, Arc<str>) {
    let DestinationLabels {
        service, namespace, ..
    } = destination;
    (Arc::clone(namespace), Arc::clone(service))
}
