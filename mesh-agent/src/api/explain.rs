//! What a request would meet: what one asks, and the answer.

use super::{Endpoint, Problem, RouteRule};
use http::{HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// What one wants explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainQuery {
    /// Whom the caller connects to.
    pub to: Target,
    /// Who calls; none: not known.
    pub from: Option<Caller>,
    /// What is called; none: any request.
    pub call: Option<Call>,
    /// Headers of the request.
    pub headers: Vec<Header>,
}

/// Whom a caller connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The cluster IP and port of a Service.
    Address(SocketAddr),
    /// A port of a Service by its name.
    Service {
        /// Its namespace; none: the caller's, or the only one with such a Service.
        namespace: Option<String>,
        /// Its name.
        name: String,
        /// The port's number or name; none: the only one.
        port: Option<String>,
    },
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its Kubernetes namespace, which decides whose routes hold.
    pub namespace: String,
    /// Its workload; routes do not ask for it.
    pub workload: Option<String>,
}

/// What is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `:method`; gRPC's is POST.
    pub method: Method,
    /// `:path`.
    pub path: String,
}

/// A header of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderValue,
}

impl ExplainQuery {
    /// Reads the query of a URL.
    ///
    /// # Errors
    /// If `to` is missing, a key is unknown, or a value makes no sense.
    pub fn parse(query: &str) -> Result<Self, String> {
        let (mut to, mut from, mut call, mut headers) = (None, None, None, Vec::new());
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "to" => to = Some(value.parse()?),
                "from" => from = Some(value.parse()?),
                "method" => call = Some(value.parse()?),
                "header" => headers.push(value.parse()?),
                unknown => {
                    return Err(format!(
                        "no part {unknown:?} of a request; there are to, from, method and header"
                    ));
                }
            }
        }
        Ok(Self {
            to: to.ok_or("say to which service: to=NAMESPACE/NAME:PORT")?,
            from,
            call,
            headers,
        })
    }

    /// Writes it as [`ExplainQuery::parse`] reads it.
    #[must_use]
    pub fn to_query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("to", &self.to.to_string());
        if let Some(from) = &self.from {
            query.append_pair("from", &from.to_string());
        }
        if let Some(call) = &self.call {
            query.append_pair("method", &call.to_string());
        }
        for header in &self.headers {
            query.append_pair("header", &header.to_string());
        }
        query.finish()
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let (service, port) = match text.split_once(':') {
            Some((service, port)) => (service, Some(port)),
            None => (text, None),
        };
        let (namespace, name) = match service.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, service),
        };
        let is_name = |name: &str| !name.is_empty() && !name.contains([':', '/']);
        if !is_name(name)
            || !namespace.is_none_or(is_name)
            || !port.is_none_or(is_name)
            || port == Some("0")
        {
            return Err(format!(
                "{text:?} names no service port; write NAME:PORT, NAMESPACE/NAME:PORT or IP:PORT"
            ));
        }
        Ok(Self::Service {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            port: port.map(str::to_owned),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Service {
                namespace,
                name,
                port,
            } => {
                f.write_str(&super::qualified(namespace.as_deref().unwrap_or(""), name))?;
                port.iter().try_for_each(|port| write!(f, ":{port}"))
            }
        }
    }
}

impl FromStr for Caller {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, workload) = match text.split_once('/') {
            Some((namespace, workload)) => (namespace, Some(workload)),
            None => (text, None),
        };
        if namespace.is_empty() || workload.is_some_and(str::is_empty) {
            return Err(format!(
                "{text:?} names no caller; write NAMESPACE or NAMESPACE/WORKLOAD"
            ));
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            workload: workload.map(str::to_owned),
        })
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.namespace)?;
        let mut workload = self.workload.iter();
        workload.try_for_each(|workload| write!(f, "/{workload}"))
    }
}

impl FromStr for Call {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no call; write /package.Service/Method, or `GET /path` for an HTTPRoute"
            )
        };
        let (method, path) = match text.split_once(' ') {
            Some((method, path)) => (method.parse().map_err(|_| wrong())?, path),
            None => (Method::POST, text),
        };
        let is_printable = path.bytes().all(|byte| byte.is_ascii_graphic());
        if path.is_empty() || !is_printable {
            return Err(wrong());
        }
        // People write a method as metrics do, without the first slash.
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            method,
            path: format!("{slash}{path}"),
        })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no header; write NAME:VALUE");
        let (name, value) = text.split_once(':').ok_or_else(wrong)?;
        Ok(Self {
            name: name.trim().parse().map_err(|_| wrong())?,
            value: value.trim().parse().map_err(|_| wrong())?,
        })
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = String::from_utf8_lossy(self.value.as_bytes());
        write!(f, "{}: {value}", self.name)
    }
}

/// `/api/explain`: what a request would meet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// `namespace/name` of the Service.
    pub service: String,
    /// The service port.
    pub port: u16,
    /// What it speaks, if known.
    pub protocol: Option<String>,
    /// The cluster IP that the caller connects to; none: the Service is headless.
    pub address: Option<IpAddr>,
    /// The caller's namespace; none: not known.
    pub caller_namespace: Option<String>,
    /// The request's method and path; none: any.
    pub request: Option<String>,
    /// `direct` or `routed`.
    pub path: String,
    /// Why it is this path.
    pub why: String,
    /// `Open` or `Closed`: what becomes of connections that should be routed while the proxy is not there.
    pub failure_mode: String,
    /// The policy that says so; none: the default.
    pub failure_mode_set_by: Option<String>,
    /// Where the proxy listens for these callers; none on the direct path, and where no agent was asked.
    pub listeners: Option<CallerListeners>,
    /// The rules that hold for this caller, in the order of their precedence; none on the direct path.
    pub rules: Vec<JudgedRule>,
    /// What the rule that is met does to requests and responses.
    pub edits: Vec<String>,
    /// How requests that meet it are treated, section by section.
    pub treatment: Vec<Treatment>,
    /// Where the request goes; none where that depends on what of it is not known.
    pub destinations: Vec<ExplainedDestination>,
    /// What the caller gets without any endpoint being asked; none: an endpoint answers.
    pub answer: Option<String>,
    /// What is wrong with the routes and policies of the Service, or keeps one out that may be meant for it.
    pub problems: Vec<Problem>,
}

impl Explanation {
    /// Whether the proxy takes the connection.
    #[must_use]
    pub fn is_routed(&self) -> bool {
        self.path == "routed"
    }
}

/// The network namespaces on this node that the proxy's listeners are in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerListeners {
    /// Those of the callers asked for that it listens in.
    pub listening: usize,
    /// Why it does not listen in others of theirs.
    pub refused: Vec<String>,
    /// Those, of any callers, whose Kubernetes namespace is not known.
    pub unknown: usize,
}

/// One bound of a circuit breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// `connections`, `requests` or `pending`.
    pub what: String,
    /// How many there are now.
    pub used: u32,
    /// How many there may be; none: any number.
    pub max: Option<u32>,
}

impl Bound {
    /// Whether there is no room: the circuit is open.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.max.is_some_and(|max| self.used >= max)
    }
}

/// One rule and how it fares with the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedRule {
    /// The rule.
    pub rule: RouteRule,
    /// How it fares.
    pub verdict: RuleVerdict,
    /// What the request lacks, match by match.
    pub missing: Vec<String>,
}

/// How a rule fares with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleVerdict {
    /// It is the one the request meets.
    Met,
    /// It matches, but the one that is met goes first.
    Beaten,
    /// It does not match.
    Missed,
    /// It depends on what of the request is not known.
    Open,
}

/// What a section of a policy or route says, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treatment {
    /// The section, as MeshPolicy names it.
    pub section: String,
    /// What is in force.
    pub says: String,
    /// The policy or route that says so; none: the default.
    pub set_by: Option<String>,
}

/// Where a share of requests goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainedDestination {
    /// `namespace/name:port`; none: its reference does not resolve.
    pub to: Option<String>,
    /// Why the reference does not resolve.
    pub problem: Option<String>,
    /// Its share of the sum of all weights.
    pub weight: u32,
    /// By which rule its endpoints were chosen.
    pub selection: Option<String>,
    /// What is done to requests that go there and to their responses.
    pub edits: Vec<String>,
    /// How requests to it are treated, section by section.
    pub treatment: Vec<Treatment>,
    /// What is under way to it now; empty: no request has gone there through the proxy, or no agent was asked.
    pub bounds: Vec<Bound>,
    /// Its endpoints, those that get nothing too.
    pub endpoints: Vec<Endpoint>,
}

#[cfg(test)]
mod tests;
