//! L1: which rule a request meets and where that rule sends it; pure data, looked up once per request.

mod backend;
mod explain;
mod matching;
mod rule;
mod rule_set;
mod table;

pub use crate::model::{HeaderEdits, RuleName};
pub use backend::{Backend, BackendEndpoint, BackendSetBy};
pub use explain::{Missing, Verdict, explain};
pub use rule::{CallSetBy, Choice, Mirror, RouteKind, Rule, Share};
pub use rule_set::{RequestHead, RuleSet};
pub use table::{RouteTable, RoutedPort};

#[cfg(test)]
mod tests;
