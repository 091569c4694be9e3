//! Who owns a cluster IP and port: the older Service, then the one whose name comes first.

use crate::model::{ObjectName, Service};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// A cluster IP and port.
pub(super) type Frontend = (IpAddr, u16);

/// Age, then name; a Service without a creation time counts as youngest.
type Claimant = (i64, ObjectName);

/// The claims of all Services.
#[derive(Debug, Default)]
pub(super) struct Claims(HashMap<Frontend, BTreeSet<Claimant>>);

impl Claims {
    /// Replaces the claims of a Service; gives the other Services whose own claims may fare differently now.
    pub(super) fn set(
        &mut self,
        name: &ObjectName,
        old: Option<&Service>,
        new: Option<&Service>,
    ) -> Vec<ObjectName> {
        let mut touched = Vec::new();
        for frontend in old.into_iter().flat_map(frontends) {
            if let Some(claimants) = self.0.get_mut(&frontend) {
                claimants.remove(&claimant(name, old));
                touched.extend(claimants.iter().map(|(_, name)| name.clone()));
                if claimants.is_empty() {
                    self.0.remove(&frontend);
                }
            }
        }
        for frontend in new.into_iter().flat_map(frontends) {
            let claimants = self.0.entry(frontend).or_default();
            touched.extend(claimants.iter().map(|(_, name)| name.clone()));
            claimants.insert(claimant(name, new));
        }
        touched
    }

    /// Who owns a frontend.
    pub(super) fn owner(&self, frontend: Frontend) -> Option<&ObjectName> {
        self.0.get(&frontend)?.first().map(|(_, name)| name)
    }

    /// The frontends a Service claims but another one owns, with that one.
    pub(super) fn lost<'a>(
        &'a self,
        name: &'a ObjectName,
        service: &Service,
    ) -> impl Iterator<Item = (Frontend, &'a ObjectName)> {
        let claimed: Vec<Frontend> = frontends(service).collect();
        claimed.into_iter().filter_map(move |frontend| {
            let owner = self.owner(frontend)?;
            (owner != name).then_some((frontend, owner))
        })
    }
}

fn claimant(name: &ObjectName, service: Option<&Service>) -> Claimant {
    let created_s = service.and_then(|service| service.created_s);
    (created_s.unwrap_or(i64::MAX), name.clone())
}

fn frontends(service: &Service) -> impl Iterator<Item = Frontend> {
    let ips = service.cluster_ips.iter();
    ips.flat_map(|ip| service.ports.iter().map(move |port| (ip, port.port)))
}
