//! `sessionAffinity: ClientIP` on the routed path: means what it means in the kernel (`mesh-common/src/affinity.rs`), with the
//! same records, and a request where that has a connect.

use super::choice::Choice;
use mesh_common::address::Address;
use mesh_common::affinity::{
    AffinityEntry, AffinitySet, Finding, RememberedEndpoint, Tag, WAYS, expiry_ns, find,
    first_choice,
};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Sets of [`WAYS`] clients: room for 2,048 of a node, in 50 KiB.
const SETS: usize = 256;

/// Who calls: as in the kernel, a network namespace, or one address in it if the caller's socket was bound to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The namespace's cookie.
    pub netns_cookie: u64,
    /// The address that the caller's socket was bound to before it connected.
    pub bound: Option<IpAddr>,
}

/// Which endpoint each client used last.
#[derive(Debug)]
pub(super) struct Clients {
    sets: Box<[Mutex<AffinitySet>]>,
}

impl Default for Clients {
    fn default() -> Self {
        let entry = AffinityEntry {
            tag: 0,
            endpoint: 0,
            expires_ns: 0,
        };
        let empty = AffinitySet {
            entries: [entry; WAYS],
        };
        Self {
            sets: (0..SETS).map(|_| Mutex::new(empty)).collect(),
        }
    }
}

impl Clients {
    /// The client's endpoint among the available ones, by index, remembered for `timeout_s` from now on.
    pub(super) fn choose(&self, choice: &Choice<'_>, client: Client, timeout_s: u32) -> usize {
        let bound = client.bound.map_or(Address::UNSPECIFIED, Address::from);
        let tag = Tag::new(0, client.netns_cookie, bound);
        let now_ns = choice.now_ns();
        // A new client goes where its number says, the same for a whole timeout: requests that come at once agree.
        let anew = || choice.by_key(u64::from(first_choice(tag, now_ns, timeout_s)));
        let index = usize::try_from(tag.set()).unwrap_or(0) % SETS;
        let Some(set) = self.sets.get(index) else {
            return anew();
        };
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let (way, known) = match find(tag, now_ns, |way| set.entries[way]) {
            Finding::Remembered { way, endpoint } => (way, choice.position(endpoint.id)),
            Finding::Free { way } => (way, None),
            Finding::Full => return anew(),
        };
        // A retry goes elsewhere, but the client comes back.
        if known.is_some_and(|index| !choice.is_allowed(index)) {
            return anew();
        }
        let chosen = known.unwrap_or_else(anew);
        let endpoint = RememberedEndpoint {
            id: choice.id(chosen),
            generation: 0,
        };
        set.entries[way] = AffinityEntry::new(tag, endpoint, expiry_ns(now_ns, timeout_s));
        chosen
    }
}
