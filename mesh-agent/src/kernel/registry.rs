//! The network namespaces that the proxy works in, by cookie, shared by those who enter them.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError, RwLock};

/// The network namespaces that the proxy works in. Keeps each of them alive. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry(Arc<RwLock<HashMap<u64, Arc<OwnedFd>>>>);

impl Registry {
    /// The namespace with this cookie; `None`: the proxy does not work in it (any more).
    pub(super) fn get(&self, cookie: u64) -> Option<Arc<OwnedFd>> {
        // Every critical section is a single map operation: a panic elsewhere leaves nothing half done.
        let namespaces = self.0.read().unwrap_or_else(PoisonError::into_inner);
        namespaces.get(&cookie).cloned()
    }

    /// Adds a namespace.
    pub(super) fn insert(&self, cookie: u64, namespace: OwnedFd) {
        let mut namespaces = self.0.write().unwrap_or_else(PoisonError::into_inner);
        namespaces.insert(cookie, Arc::new(namespace));
    }

    /// Lets go of a namespace.
    pub(super) fn remove(&self, cookie: u64) {
        let mut namespaces = self.0.write().unwrap_or_else(PoisonError::into_inner);
        namespaces.remove(&cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::Registry;
    use std::fs::File;

    #[test]
    fn a_namespace_is_there_until_it_is_removed() {
        let registry = Registry::default();
        assert!(registry.get(7).is_none());
        registry.insert(7, File::open("/proc/self/ns/net").unwrap().into());
        let shared = registry.clone();
        assert!(shared.get(7).is_some());
        registry.remove(7);
        assert!(shared.get(7).is_none());
    }
}
