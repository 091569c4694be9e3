//! The network namespaces that the listeners are in, for whoever wants to see them.

use super::labels::Names;
use super::namespaces::{self, NamespaceId};
use super::netns_sources::SharedSources;
use crate::observe::{CallerNamespace, SourceLabels};
use mesh_common::capture::CallerEntry;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The network namespaces that the listeners are in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Callers {
    /// Why the proxy does not listen there, if it does not.
    held: Arc<Mutex<BTreeMap<NamespaceId, Option<String>>>>,
    namespaces: SharedSources,
    sources: Names<SourceLabels>,
}

impl Callers {
    pub(super) fn new(namespaces: SharedSources, sources: Names<SourceLabels>) -> Self {
        Self {
            held: Arc::default(),
            namespaces,
            sources,
        }
    }

    /// Notes that the proxy listens in a namespace, or why it does not.
    pub(super) fn set(&self, id: NamespaceId, refused: Option<String>) {
        self.lock().insert(id, refused);
    }

    /// Forgets a namespace.
    pub(super) fn remove(&self, id: NamespaceId) {
        self.lock().remove(&id);
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> Vec<CallerNamespace> {
        let held = self.lock().clone();
        let host = namespaces::host().map(|(host, _)| host);
        let known = held.into_iter().map(|(id, refused)| {
            let entry = self.namespaces.entry(id).map(CallerEntry);
            CallerNamespace {
                source: entry.and_then(|entry| self.sources.get(entry.source())),
                is_host: host == Some(id),
                refused,
            }
        });
        known.collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NamespaceId, Option<String>>> {
        // Every critical section is a single map operation: a panic elsewhere leaves nothing half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
