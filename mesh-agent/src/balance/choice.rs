//! One choice among the available endpoints, by the algorithm in force.

use super::Wish;
use super::hash::affinity;
use super::membership::{Member, Membership};
use crate::model::{Algorithm, Draws};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// An endpoint that nobody picked for so long wins the next comparison, whatever it costs: what was slow is seen again.
const NEGLECT_NS: u64 = 10_000_000_000;

/// A stream that has been answered is open, not slow: so much of a request under way (FEATURES.md, O16, simple form).
const STREAM_COST: f64 = 1.0 / 16.0;

/// Draws before the next best endpoint is taken instead of one drawn by weight.
const DRAWS_MAX: usize = 16;

/// Draws for a second endpoint that is not the first.
const SECONDS_MAX: usize = 8;

/// Turns passed over, for each endpoint, before one is drawn instead.
const TURNS_MAX: usize = 4;

/// What a choice is made from.
pub(super) struct Choice<'a> {
    membership: &'a Membership,
    now_ns: u64,
    turn: &'a AtomicU64,
    draws: Draws,
    hash: Option<u64>,
    avoid: &'a [SocketAddr],
}

impl<'a> Choice<'a> {
    /// `None` if there is nothing to choose from.
    pub(super) fn new(
        membership: &'a Membership,
        wish: &Wish<'a>,
        now_ns: u64,
        turn: &'a AtomicU64,
    ) -> Option<Self> {
        if membership.available.is_empty() {
            return None;
        }
        let is_avoided = |member: &Member| wish.avoid.contains(&member.endpoint.address());
        let are_all_avoided = membership.available.iter().all(is_avoided);
        Some(Self {
            membership,
            now_ns,
            turn,
            draws: Draws::new(wish.random),
            hash: wish.hash,
            avoid: if are_all_avoided { &[] } else { wish.avoid },
        })
    }

    /// The index of the chosen one among the available.
    pub(super) fn choose(&mut self) -> usize {
        match self.membership.algorithm() {
            Algorithm::PeakEwma => self.better_of_two(Self::expected_wait),
            Algorithm::LeastRequest => self.better_of_two(Self::under_way),
            Algorithm::RoundRobin => self.in_turn(),
            Algorithm::Random => self.drawn(),
            Algorithm::RingHash(_) => match self.hash {
                Some(key) => self.by_key(key),
                None => self.drawn(),
            },
        }
    }

    /// The endpoint that goes best with a key: rendezvous hashing (Thaler and Ravishankar 1998), weighted by `-w / ln(u)`.
    ///
    /// A ring would find it in fewer steps, but shares load only as evenly as it has points, and has to be sorted anew with
    /// each change. Here shares are exact, an endpoint that comes or goes moves its own keys and no others, an avoided or
    /// ejected one leaves each of its keys to that key's next best, and a choice costs some nanoseconds per endpoint.
    pub(super) fn by_key(&self, key: u64) -> usize {
        let rank = |index: &usize| {
            let member = &self.available()[*index];
            let fit = affinity(key, member.endpoint.hash());
            if self.membership.has_equal_weights() {
                return (0.0, fit);
            }
            let share = (fit >> 11) as f64 / (1_u64 << 53) as f64;
            (f64::from(member.weight) / -share.ln(), fit)
        };
        let ranked = (0..self.available().len())
            .filter(|index| self.is_allowed(*index))
            .map(|index| (rank(&index), index));
        let best = ranked.max_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        best.map_or(0, |(_, index)| index)
    }

    /// Where the endpoint with this id stands, if it may be used.
    pub(super) fn position(&self, id: u32) -> Option<usize> {
        let mut available = self.available().iter();
        available.position(|member| member.endpoint.id() == id)
    }

    /// The id of an available endpoint.
    pub(super) fn id(&self, index: usize) -> u32 {
        self.available()[index].endpoint.id()
    }

    /// Whether this call has not tried the endpoint, or has tried all.
    pub(super) fn is_allowed(&self, index: usize) -> bool {
        let address = self.available()[index].endpoint.address();
        !self.avoid.contains(&address)
    }

    /// The present, since the balancer's beginning.
    pub(super) const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Power of two choices (Mitzenmacher 2001; gRFC A48): of two drawn ones, the one that costs less.
    fn better_of_two(&mut self, cost: fn(&Self, &Member) -> f64) -> usize {
        if let Some(unvisited) = self.unvisited() {
            return unvisited;
        }
        let first = self.drawn();
        let second = self.second(first);
        for index in [first, second] {
            if self.is_neglected(&self.available()[index]) {
                return index;
            }
        }
        let [a, b] = [first, second].map(|index| cost(self, &self.available()[index]));
        // Where they cost the same, shares are those of the weights.
        if b < a { second } else { first }
    }

    /// Takes an endpoint that never had a request: it need not wait to be drawn, nor to win with a guessed latency.
    fn unvisited(&self) -> Option<usize> {
        if !self.membership.has_unvisited() {
            return None;
        }
        let found = (0..self.available().len()).find(|index| {
            let endpoint = &self.available()[*index].endpoint;
            self.is_allowed(*index) && endpoint.is_first_pick(self.now_ns)
        });
        if found.is_none() {
            self.membership.all_visited();
        }
        found
    }

    fn is_neglected(&self, member: &Member) -> bool {
        let endpoint = &member.endpoint;
        let unseen_ns = self.now_ns.saturating_sub(endpoint.picked_ns());
        unseen_ns >= NEGLECT_NS && endpoint.pending() == 0
    }

    /// Peak EWMA: latency times what is under way, the request at hand included.
    fn expected_wait(&self, member: &Member) -> f64 {
        let endpoint = &member.endpoint;
        let under_way = f64::from(endpoint.pending()) + STREAM_COST * f64::from(endpoint.streams());
        let latency_s = endpoint.latency().estimate_s(self.now_ns);
        // Idle endpoints of any weight are alike; the more is under way, the more the weight counts.
        latency_s * (1.0 + under_way / self.membership.relative_weight(member, self.now_ns))
    }

    /// What is under way, streams included, for the endpoint's weight.
    fn under_way(&self, member: &Member) -> f64 {
        let endpoint = &member.endpoint;
        let under_way = f64::from(endpoint.pending()) + f64::from(endpoint.streams());
        under_way / self.membership.relative_weight(member, self.now_ns)
    }

    /// The next in turn. With weights, an endpoint of half the largest one's weight takes every other turn of its own (gRFC
    /// A58, "static stride"); each number of the counter belongs to one request, so threads do not spoil the turns.
    fn in_turn(&mut self) -> usize {
        let count = self.available().len();
        for _ in 0..count.saturating_mul(TURNS_MAX) {
            let number = self.turn.fetch_add(1, Ordering::Relaxed);
            let (round, index) = (number / count as u64, number % count as u64);
            let index = usize::try_from(index).unwrap_or(0);
            if self.is_allowed(index) && self.takes_turn(index, round) {
                return index;
            }
        }
        self.drawn()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share in (0, 1] of 2^16"
    )]
    fn takes_turn(&self, index: usize, round: u64) -> bool {
        const WHOLE: u64 = 1 << 16;
        let member = &self.available()[index];
        let share = self.membership.share_of_largest(member, self.now_ns);
        let stride = ((share * WHOLE as f64) as u64).max(1);
        // Endpoints of equal share shall not all sit out in the same round.
        let phase = (index as u64).wrapping_mul(WHOLE / 2);
        let position = round.wrapping_mul(stride).wrapping_add(phase) % WHOLE;
        position + stride >= WHOLE
    }

    /// One at random, by weight; one that is warming up only as often as its share allows.
    fn drawn(&mut self) -> usize {
        for _ in 0..DRAWS_MAX {
            let index = self.draw();
            if self.is_allowed(index) && self.is_warm_enough(index) {
                return index;
            }
        }
        let from = self.draw();
        self.allowed_from(from)
    }

    /// The first that is allowed from this one on, all around.
    fn allowed_from(&self, from: usize) -> usize {
        let count = self.available().len();
        let mut around = (from..from + count).map(|index| index % count);
        around
            .find(|index| self.is_allowed(*index))
            .unwrap_or(from % count)
    }

    /// Another one to compare with. Where weights differ it may be the same: pairs of different ones would give the least
    /// weight as many chances as the largest.
    fn second(&mut self, first: usize) -> usize {
        if !self.membership.has_equal_weights() {
            return self.drawn();
        }
        for _ in 0..SECONDS_MAX {
            let second = self.drawn();
            if second != first {
                return second;
            }
        }
        self.allowed_from(first + 1)
    }

    fn draw(&mut self) -> usize {
        let membership = self.membership;
        let last = self.available().len() - 1;
        let index = if membership.has_equal_weights() {
            usize::try_from(self.draws.below(last as u64 + 1)).unwrap_or(last)
        } else {
            membership.at_weight(self.draws.below(membership.weight_sum()))
        };
        index.min(last)
    }

    fn is_warm_enough(&mut self, index: usize) -> bool {
        let warmth = self
            .membership
            .warmth(&self.membership.available[index], self.now_ns);
        warmth >= 1.0 || self.draws.share() < warmth
    }

    fn available(&self) -> &'a [Member] {
        &self.membership.available
    }
}
