//! What a balancer does with requests, on a clock of the tests' own.

mod affinity;
mod algorithms;
mod ejection;
mod keys;
mod load;
mod simulation;

use super::{Balancer, Picked, Settings, Wish};
use crate::grpc::Code;
use crate::model::{Algorithm, Draws, LoadBalancing};
use crate::resilience::Verdict;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const OK: Verdict = Verdict::Status(Code::Ok);

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The n-th endpoint.
fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 80))
}

/// Settings with an algorithm and nothing else.
fn settings(algorithm: Algorithm) -> Settings {
    Settings {
        load_balancing: LoadBalancing {
            algorithm,
            slow_start: None,
        },
        ..Settings::default()
    }
}

/// A balancer, its settings and the present.
struct Bench {
    balancer: Arc<Balancer>,
    settings: Settings,
    now: Instant,
    draws: Draws,
}

impl Bench {
    /// With endpoints of these weights.
    fn new(settings: Settings, weights: &[u32]) -> Self {
        let now = Instant::now();
        let bench = Self {
            balancer: Balancer::new(settings.clone(), now),
            settings,
            now,
            draws: Draws::new(11),
        };
        bench.update(weights);
        bench
    }

    fn update(&self, weights: &[u32]) {
        let endpoints: Vec<(SocketAddr, u32)> =
            (0_u8..).map(address).zip(weights.iter().copied()).collect();
        self.balancer.update(&self.settings, &endpoints, self.now);
    }

    fn wish(&mut self) -> Wish<'static> {
        Wish {
            now: self.now,
            random: self.draws.number(),
            hash: None,
            client: None,
            avoid: &[],
        }
    }

    fn pick(&mut self) -> Option<Picked> {
        let wish = self.wish();
        self.balancer.pick(&wish)
    }

    /// A pick of the endpoint with this number, for a call that has tried all others.
    fn pick_of(&mut self, n: u8) -> Picked {
        let view = self.balancer.view(self.now);
        let all = view.into_iter().map(|endpoint| endpoint.address);
        let others: Vec<SocketAddr> = all.filter(|other| *other != address(n)).collect();
        let wish = Wish {
            avoid: &others,
            ..self.wish()
        };
        let picked = self.balancer.pick(&wish).unwrap();
        assert_eq!(picked.address(), address(n));
        picked
    }

    /// How many of so many requests, each over before the next, go to each endpoint.
    fn shares(&mut self, requests: u32) -> BTreeMap<SocketAddr, u32> {
        let mut shares = BTreeMap::new();
        for _ in 0..requests {
            let picked = self.pick().unwrap();
            *shares.entry(picked.address()).or_default() += 1;
        }
        shares
    }

    /// The same as a list, in order of the endpoints.
    fn tally(&mut self, requests: u32) -> Vec<u32> {
        self.shares(requests).into_values().collect()
    }
}
