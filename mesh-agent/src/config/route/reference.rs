//! References of routes: to the Services they are attached to, and to those that get their requests.

use super::Draft;
use crate::config::path::FieldPath;
use crate::config::reference::Reference;
use crate::config::service::check_port;
use crate::model::{Destination, ParentRef};

/// Parents of one route, as Gateway API has it.
const PARENTS_MAX: usize = 32;

/// Largest weight, as Gateway API has it.
const WEIGHT_MAX: i32 = 1_000_000;

/// A `parentRef`, whichever kind of route it stands in.
pub(super) struct ParentSpec<'s> {
    pub(super) group: Option<&'s str>,
    pub(super) kind: Option<&'s str>,
    pub(super) name: &'s str,
    pub(super) namespace: Option<&'s str>,
    pub(super) port: Option<i32>,
    pub(super) section_name: Option<&'s str>,
}

/// Takes any generated `parentRef` into a [`ParentSpec`].
macro_rules! parent_spec {
    ($parent:expr) => {
        $crate::config::route::reference::ParentSpec {
            group: $parent.group.as_deref(),
            kind: $parent.kind.as_deref(),
            name: &$parent.name,
            namespace: $parent.namespace.as_deref(),
            port: $parent.port,
            section_name: $parent.section_name.as_deref(),
        }
    };
}
pub(super) use parent_spec;

/// A `backendRef` without weight and filters, wherever it stands.
pub(super) struct BackendSpec<'s> {
    pub(super) group: Option<&'s str>,
    pub(super) kind: Option<&'s str>,
    pub(super) name: &'s str,
    pub(super) namespace: Option<&'s str>,
    pub(super) port: Option<i32>,
}

/// Takes any generated `backendRef` into a [`BackendSpec`].
macro_rules! backend_spec {
    ($backend:expr) => {
        $crate::config::route::reference::BackendSpec {
            group: $backend.group.as_deref(),
            kind: $backend.kind.as_deref(),
            name: &$backend.name,
            namespace: $backend.namespace.as_deref(),
            port: $backend.port,
        }
    };
}
pub(super) use backend_spec;

impl Draft<'_, '_, '_> {
    /// The Services a route is attached to.
    pub(super) fn parents(&mut self, specs: &[ParentSpec<'_>]) -> Vec<ParentRef> {
        let path = FieldPath::of("spec.parentRefs");
        self.check_length(specs.len(), PARENTS_MAX, &path);
        let mut parents: Vec<ParentRef> = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let at = path.index(index);
            let Some(parent) = self.parent(spec, index, &at) else {
                continue;
            };
            // As written: a namespace that is named is another one than none.
            let mut alike = parents
                .iter()
                .filter(|known| specs[known.index].namespace == spec.namespace);
            if let Some(message) = alike.find_map(|known| clash(known, &parent)) {
                let remedy = "tell references to one Service apart by port or sectionName";
                self.report.error(&at, message, remedy);
            }
            parents.push(parent);
        }
        if parents.is_empty() {
            let remedy = "name one in spec.parentRefs: {group: \"\", kind: Service, name: …}";
            self.report.warn(
                &path,
                "the route is attached to no Service and has no effect",
                remedy,
            );
        }
        parents
    }

    fn parent(&mut self, spec: &ParentSpec<'_>, index: usize, at: &FieldPath) -> Option<ParentRef> {
        let form = Reference {
            group: spec.group,
            kind: spec.kind,
            name: spec.name,
            namespace: spec.namespace,
            section_name: spec.section_name,
        };
        form.check(at, self.report);
        let group = spec.group.unwrap_or("gateway.networking.k8s.io");
        let kind = spec.kind.unwrap_or("Gateway");
        if !matches!((group, kind), ("" | "core", "Service")) {
            let message = format!(
                "a parent of kind {kind} is not the mesh's: nothing is attached to it here"
            );
            let remedy = "to attach the route to a Service write group: \"\" and kind: Service";
            self.report.warn(at, &message, remedy);
            return None;
        }
        let port = match spec.port {
            Some(port) => Some(check_port(port, &at.field("port"), self.report)?),
            None => None,
        };
        let namespace = spec.namespace.unwrap_or(&self.namespace);
        Some(ParentRef {
            service: self.texts.name(namespace, spec.name),
            port,
            port_name: self.texts.share_some(spec.section_name),
            index,
        })
    }

    /// Where a `backendRef` leads. What can never resolve is reported here, what does not at the moment by the plan.
    pub(super) fn destination(&mut self, spec: &BackendSpec<'_>, at: &FieldPath) -> Destination {
        let form = Reference {
            group: spec.group,
            kind: spec.kind,
            name: spec.name,
            namespace: spec.namespace,
            section_name: None,
        };
        form.check(at, self.report);
        let group = spec.group.unwrap_or_default();
        let kind = spec.kind.unwrap_or("Service");
        if !matches!((group, kind), ("" | "core", "Service")) {
            let message = format!(
                "requests cannot be sent to the kind {kind} (ResolvedRefs=False, InvalidKind)"
            );
            self.report.warn(
                at,
                &message,
                "refer to a Service; until then its share gets UNAVAILABLE",
            );
            return Destination::Nowhere(message.into());
        }
        let Some(port) = spec.port else {
            let remedy = "give the port of the Service, not of its endpoints";
            self.report
                .error(at, "the reference to a Service has no port", remedy);
            return Destination::Nowhere("the reference has no port".into());
        };
        let Some(port) = check_port(port, &at.field("port"), self.report) else {
            return Destination::Nowhere("the reference has no valid port".into());
        };
        let namespace = spec.namespace.unwrap_or(&self.namespace);
        Destination::Service(self.texts.name(namespace, spec.name), port)
    }

    /// A weight; 1 if none is given.
    pub(super) fn weight(&mut self, weight: Option<i32>, at: &FieldPath) -> u32 {
        let weight = weight.unwrap_or(1);
        match u32::try_from(weight) {
            Ok(weight_is) if weight <= WEIGHT_MAX => weight_is,
            Ok(_) | Err(_) => {
                let remedy = "use a number from 0 to 1000000";
                self.report.error(&at.field("weight"), "no weight", remedy);
                0
            }
        }
    }
}

/// Why two references to the same Service do not go together.
fn clash(a: &ParentRef, b: &ParentRef) -> Option<&'static str> {
    if a.service != b.service {
        return None;
    }
    if a.port == b.port && a.port_name == b.port_name {
        return Some("a second reference to the same Service and port");
    }
    let form = |parent: &ParentRef| (parent.port.is_some(), parent.port_name.is_some());
    (form(a) != form(b)).then_some("one reference to the Service names its port, another does not")
}
