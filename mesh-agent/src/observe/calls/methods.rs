//! Which methods are labels: those that a server has answered, so that a caller cannot make up series.

use crate::grpc::GrpcPath;
use crate::observe::{DestinationLabels, METHOD_OTHER};
use std::collections::HashMap;
use std::sync::Arc;

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
type Labels = HashMap<Arc<str>, Arc<str>>;

impl Default for Methods {
    fn default() -> Self {
        Self {
            services: HashMap::new(),
            other: Arc::from(METHOD_OTHER),
        }
    }
}

impl Methods {
    /// Makes a method a label, if it is one and there is room.
    pub(super) fn learn(&mut self, destination: &DestinationLabels, path: &str) {
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
            labels.insert(Arc::from(path), Arc::from(method.to_string()));
        }
    }

    /// The label of a method.
    pub(super) fn label(&self, destination: &DestinationLabels, path: &str) -> Arc<str> {
        let labels = self.services.get(&key(destination));
        let label = labels.and_then(|labels| labels.get(path));
        Arc::clone(label.unwrap_or(&self.other))
    }
}

fn key(destination: &DestinationLabels) -> (Arc<str>, Arc<str>) {
    let DestinationLabels {
        service, namespace, ..
    } = destination;
    (Arc::clone(namespace), Arc::clone(service))
}
