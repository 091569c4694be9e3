//! What happens to the requests that meet a rule.

use super::{Backend, HeaderEdits, RuleName};
use crate::model::{CallTraffic, ObjectId};
use std::sync::Arc;

/// Which kind of route a rule is of: it decides how the mesh answers when a backend does not resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// A GRPCRoute: UNAVAILABLE.
    Grpc,
    /// An HTTPRoute: 500.
    Http,
    /// None is attached: the Service itself.
    Service,
}

/// One rule of a route, with everything it refers to.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Which.
    pub name: RuleName,
    /// Of which kind of route.
    pub kind: RouteKind,
    /// Where its requests go, in the order of `backendRefs`.
    pub backends: Box<[Share]>,
    /// Changes of request headers, whichever backend is chosen.
    pub request_headers: HeaderEdits,
    /// Changes of response headers, whichever backend is chosen.
    pub response_headers: HeaderEdits,
    /// Who gets copies, whichever backend is chosen.
    pub mirrors: Box<[Mirror]>,
    /// How its requests are treated.
    pub traffic: CallTraffic,
    /// Who says so.
    pub set_by: CallSetBy,
    /// Where `fallback.backendRef` leads, if the fallback is one.
    pub fallback: Option<Result<Arc<Backend>, Arc<str>>>,
}

/// A backend and its share of a rule's requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The backend; else why its reference does not resolve.
    pub to: Result<Arc<Backend>, Arc<str>>,
    /// Its share of the sum of all weights.
    pub weight: u32,
    /// Changes of the headers of requests that go there, after the rule's own.
    pub request_headers: HeaderEdits,
    /// Changes of the headers of its responses, before the rule's own.
    pub response_headers: HeaderEdits,
    /// Who gets copies of requests that go there.
    pub mirrors: Box<[Mirror]>,
}

/// Who gets copies of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// The backend; else why its reference does not resolve.
    pub to: Result<Arc<Backend>, Arc<str>>,
    /// So many …
    pub numerator: u32,
    /// … of so many requests are copied; at least 1.
    pub denominator: u32,
}

/// The policies or routes that sections of [`CallTraffic`] come from; `None`: defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallSetBy {
    /// `timeouts`.
    pub timeouts: Option<ObjectId>,
    /// `retry`.
    pub retry: Option<ObjectId>,
    /// `rateLimit`.
    pub rate_limit: Option<ObjectId>,
    /// `fault`.
    pub fault: Option<ObjectId>,
    /// `fallback`.
    pub fallback: Option<ObjectId>,
}

/// Where one request goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice<'r> {
    /// To this backend, with its own edits and mirrors.
    To(&'r Arc<Backend>, &'r Share),
    /// Nowhere, and why: the answer is UNAVAILABLE, or 500 on an HTTPRoute.
    Nowhere(&'r str),
}

impl Rule {
    /// Chooses a backend by weight; `random` is uniform over all its values.
    #[must_use]
    pub fn choose(&self, random: u32) -> Choice<'_> {
        let total: u64 = self
            .backends
            .iter()
            .map(|share| u64::from(share.weight))
            .sum();
        // The high half of the product: uniform to within 2^-12 of a weight's own share, without a division.
        let mut ticket = (u64::from(random) * total) >> 32;
        for share in &self.backends {
            let weight = u64::from(share.weight);
            if ticket < weight {
                return match &share.to {
                    Ok(backend) => Choice::To(backend, share),
                    Err(reason) => Choice::Nowhere(reason),
                };
            }
            ticket -= weight;
        }
        Choice::Nowhere(match self.backends.len() {
            0 => "the rule has no backendRefs",
            _ => "every backendRef has weight 0",
        })
    }
}

impl Rule {
    /// Every backend that its requests and their copies may go to.
    pub fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        let shares = self.backends.iter().flat_map(|share| {
            let copies = share.mirrors.iter().map(|mirror| &mirror.to);
            std::iter::once(&share.to).chain(copies)
        });
        let copies = self.mirrors.iter().map(|mirror| &mirror.to);
        let all = shares.chain(copies).chain(&self.fallback);
        all.filter_map(|to| to.as_ref().ok())
    }
}

impl Mirror {
    /// Whether a request is copied; `random` is uniform over all its values.
    #[must_use]
    pub fn takes(&self, random: u32) -> bool {
        let ticket = (u64::from(random) * u64::from(self.denominator)) >> 32;
        ticket < u64::from(self.numerator)
    }
}
