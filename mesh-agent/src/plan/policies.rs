//! Which policy holds, section by section: the closer one, then the older, then the one whose name comes first.

use crate::model::{Kind, ObjectId, Policy, PolicyAim};
use std::fmt;

/// A policy and its identity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub(super) id: &'a ObjectId,
    pub(super) policy: &'a Policy,
}

impl Named<'_> {
    /// Whether it is one of Gateway API's own, which beat every MeshPolicy.
    fn is_standard(&self) -> bool {
        self.id.kind == Kind::BackendTrafficPolicy
    }
}

/// Puts policies into the order in which they win; those of one Service or route.
pub(super) fn sort(policies: &mut [Named<'_>]) {
    policies.sort_by_key(|named| {
        let age = named.policy.created_s.unwrap_or(i64::MAX);
        (!named.is_standard(), age, &named.id.name.name)
    });
}

/// What a policy must target to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level<'a> {
    /// A Service or a port of it.
    Service(&'a str, Option<&'a str>),
    /// A route or a rule of it.
    Route(&'a ObjectId, Option<&'a str>),
}

impl Level<'_> {
    /// Whether a policy targets just this.
    pub(super) fn is_target_of(self, policy: &Policy) -> bool {
        let is_wanted = |aim: &PolicyAim| match (self, aim) {
            (Self::Service(wanted, wanted_port), PolicyAim::Service(name, port)) => {
                *wanted == **name && wanted_port == port.as_deref()
            }
            (Self::Route(wanted, wanted_rule), PolicyAim::Route(kind, name, rule)) => {
                wanted.kind == *kind && wanted.name.name == *name && wanted_rule == rule.as_deref()
            }
            (Self::Service(..), PolicyAim::Route(..))
            | (Self::Route(..), PolicyAim::Service(..)) => false,
        };
        policy.targets.iter().any(|target| is_wanted(&target.to))
    }
}

impl fmt::Display for Level<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name, None) => write!(f, "Service `{name}`"),
            Self::Service(name, Some(port)) => write!(f, "Service `{name}` port `{port}`"),
            Self::Route(id, None) => write!(f, "{id}"),
            Self::Route(id, Some(rule)) => write!(f, "{id} rule `{rule}`"),
        }
    }
}

/// The policies that may hold for something, the closest level first.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain<'a> {
    levels: Vec<Named<'a>>,
}

impl<'a> Chain<'a> {
    /// Adds, behind those that are there, the policies for `level` among `sorted` ones.
    pub(super) fn push(&mut self, level: Level<'_>, sorted: &[Named<'a>]) {
        let of_level = sorted
            .iter()
            .filter(|named| level.is_target_of(named.policy));
        self.levels.extend(of_level.copied());
    }

    /// Adds the levels of a port and of its Service, what is Gateway API's own in front.
    pub(super) fn push_service(&mut self, service: &str, port: &str, sorted: &[Named<'a>]) {
        let standard = sorted
            .iter()
            .take_while(|named| named.is_standard())
            .count();
        let (standard, own) = sorted.split_at(standard);
        self.push(Level::Service(service, None), standard);
        if !port.is_empty() {
            self.push(Level::Service(service, Some(port)), own);
        }
        self.push(Level::Service(service, None), own);
    }

    /// Adds another chain behind those that are there.
    pub(super) fn extend(&mut self, other: &Self) {
        self.levels.extend(&other.levels);
    }

    /// The section that holds, and the policy it is of.
    pub(super) fn find<T>(
        &self,
        section: impl Fn(&'a Policy) -> Option<T>,
    ) -> Option<(Named<'a>, T)> {
        let mut levels = self.levels.iter();
        levels.find_map(|named| Some((*named, section(named.policy)?)))
    }

    /// Whether one of them needs the proxy.
    pub(super) fn is_about_requests(&self) -> bool {
        self.levels
            .iter()
            .any(|named| named.policy.is_about_requests())
    }
}
