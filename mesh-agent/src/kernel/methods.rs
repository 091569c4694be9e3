//! What methods are called: the kernel counts under digests of encoded paths, of which `METHODS` has the texts.

use super::entries::visit;
use super::texts::method_name;
use mesh_common::meter::record::{METHOD_OTHER, Method, MethodKey};
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// What every method is called that is no label.
const OTHER: &str = "_OTHER";

/// Names of methods by digest. What a digest was called once it is called for as long as something is counted under it, so that
/// no counter ever changes its name.
#[derive(Debug)]
pub(super) struct Methods {
    labels: HashSet<MethodKey>,
    names: HashMap<u64, Arc<str>>,
    other: Arc<str>,
}

impl Default for Methods {
    fn default() -> Self {
        Self {
            labels: HashSet::new(),
            names: HashMap::new(),
            other: Arc::from(OTHER),
        }
    }
}

impl Methods {
    /// Reads the map of methods again.
    ///
    /// # Errors
    ///
    /// The map cannot be read; then some labels are not known.
    pub(super) fn refresh(&mut self, map: BorrowedFd<'_>) -> io::Result<()> {
        // Those of withdrawn services have been removed.
        self.labels.clear();
        visit(map, |key, method| self.learn(*key, method))?;
        Ok(())
    }

    /// Forgets the names of digests that are no label any more, and that nothing is counted under.
    pub(super) fn retain(&mut self, counted: impl Iterator<Item = u64>) {
        if self.names.len() <= self.labels.len() {
            return;
        }
        let labels = self.labels.iter().map(|key| key.path);
        let used: HashSet<u64> = labels.chain(counted).collect();
        self.names.retain(|digest, _| used.contains(digest));
    }

    /// Number of labels.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// What a digest is called.
    pub(super) fn name(&self, digest: u64) -> Arc<str> {
        Arc::clone(self.names.get(&digest).unwrap_or(&self.other))
    }

    /// The digest that RPCs of this path count under now.
    pub(super) fn label(&self, service: u32, path: u64) -> u64 {
        let key = MethodKey {
            path,
            service,
            reserved: 0,
        };
        if self.labels.contains(&key) {
            path
        } else {
            METHOD_OTHER
        }
    }

    /// Takes in one entry of the map.
    pub(super) fn learn(&mut self, key: MethodKey, method: &Method) {
        self.labels.insert(key);
        let other = &self.other;
        self.names
            .entry(key.path)
            .or_insert_with(|| method_name(method).map_or_else(|| Arc::clone(other), Arc::from));
    }
}

#[cfg(test)]
mod tests {
    use super::Methods;
    use crate::kernel::texts::encoded;
    use mesh_common::meter::record::{METHOD_OTHER, Method, MethodKey};
    use zerocopy::FromZeros as _;

    fn key(service: u32, path: u64) -> MethodKey {
        MethodKey {
            path,
            service,
            reserved: 0,
        }
    }

    #[test]
    fn both_encodings_of_a_path_have_one_name() {
        let path = b"/shop.Inventory/Reserve";
        let mut methods = Methods::default();
        methods.learn(key(1, 10), &encoded(path, false));
        methods.learn(key(1, 11), &encoded(path, true));

        assert_eq!(&*methods.name(10), "shop.Inventory/Reserve");
        assert_eq!(methods.name(10), methods.name(11));
        assert_eq!(methods.len(), 2);
    }

    #[test]
    fn a_path_is_a_label_of_its_own_service_alone() {
        let mut methods = Methods::default();
        methods.learn(key(1, 10), &encoded(b"/a/b", false));

        assert_eq!(methods.label(1, 10), 10);
        assert_eq!(methods.label(2, 10), METHOD_OTHER);
        assert_eq!(methods.label(1, 12), METHOD_OTHER);
        assert_eq!(&*methods.name(METHOD_OTHER), "_OTHER");
    }

    #[test]
    fn a_name_that_was_given_once_stays() {
        let mut methods = Methods::default();
        methods.learn(key(1, 10), &Method::new_zeroed());
        methods.learn(key(1, 10), &encoded(b"/a/b", false));

        assert_eq!(&*methods.name(10), "_OTHER");
    }

    #[test]
    fn a_name_is_kept_while_it_is_a_label_or_counted() {
        let mut methods = Methods::default();
        for digest in [10, 11, 12] {
            methods.learn(key(1, digest), &encoded(b"/a/b", false));
        }
        methods.labels.clear();
        methods.learn(key(1, 10), &encoded(b"/a/b", false));

        methods.retain([11].into_iter());

        let names = [10, 11, 12].map(|digest| methods.name(digest));
        assert_eq!(
            names.each_ref().map(|name| &**name),
            ["a/b", "a/b", "_OTHER"]
        );
    }
}
