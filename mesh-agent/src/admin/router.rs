//! From a request's path to its answer.

use super::agent::{Readers, Unavailable};
use super::live::{self, Ejections};
use super::page;
use super::tap::{TapBody, Tapping};
use crate::api::{ExplainQuery, Rpcs, TapQuery};
use crate::export::prometheus;
use crate::reconcile::Plans;
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::{Serialize, Serializer};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Every path, with what it answers.
pub(super) const PATHS: [(&str, &str); 13] = [
    ("/", "a page for people"),
    ("/metrics", "OpenMetrics"),
    ("/livez", "200 while the process is alive"),
    ("/readyz", "200 once the mesh is in force, else 503 and why"),
    ("/api/status", "programs, maps, configuration, problems"),
    ("/api/services", "services in force"),
    ("/api/endpoints", "endpoints of the services in force"),
    ("/api/routes", "routed service ports with their rules"),
    (
        "/api/explain",
        "what a request would meet: ?to=SERVICE:PORT&from=NAMESPACE&method=/pkg.S/M&header=NAME:VALUE",
    ),
    ("/api/connections", "connections open now"),
    ("/api/problems", "what is wrong with the configuration"),
    ("/api/rpcs", "RPCs by Service and method, counted so far"),
    ("/api/tap", "single RPCs as they end, a line of JSON each"),
];

/// Time within which every answer is put together; more means that a thread is stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const JSON_LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const OPENMETRICS: HeaderValue = HeaderValue::from_static(prometheus::CONTENT_TYPE);

type Answer = Response<Either<Full<Bytes>, TapBody>>;

/// Answers one request; its body, if it has one, is not read. `is_tapping` is set while the answer goes on.
pub(super) async fn answer<B>(
    readers: &Readers,
    request: &Request<B>,
    is_tapping: &Arc<AtomicBool>,
) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD: the admin server is read-only\n".to_owned(),
        );
        refusal
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let path = request.uri().path();
    if path == "/api/tap" {
        return tap(readers, request.uri().query(), is_tapping);
    }
    let query = request.uri().query().unwrap_or_default();
    let routed = tokio::time::timeout(ANSWER_TIMEOUT, route(readers, path, query));
    match routed.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        Err(_) => {
            let seconds = ANSWER_TIMEOUT.as_secs();
            tracing::warn!(path, seconds, "an admin request found no answer in time");
            text(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("no answer within {seconds} s\n"),
            )
        }
    }
}

async fn route(readers: &Readers, path: &str, query: &str) -> Result<Answer, Unavailable> {
    match path {
        "/" => Ok(html(page::render(readers).await?)),
        "/metrics" => Ok(respond(
            StatusCode::OK,
            OPENMETRICS,
            whole(readers.metrics().await?),
        )),
        "/livez" => Ok(text(StatusCode::OK, "alive\n".to_owned())),
        "/readyz" => Ok(ready(&readers.readiness.missing())),
        "/api/status" => json(&readers.status().await?),
        "/api/services" => json(&ServiceRows {
            services: &readers.inquiries.plans().await?,
        }),
        "/api/endpoints" => json(&EndpointRows {
            endpoints: MarkedEndpoints {
                plans: readers.inquiries.plans().await?,
                ejections: Ejections::of(&readers.live.now().destinations),
            },
        }),
        "/api/routes" => json(&readers.inquiries.plans().await?.routes()),
        "/api/explain" => explain(readers, query).await,
        "/api/connections" => json(&*readers.sampler.connections().await?),
        "/api/rpcs" => json(&Rpcs::from(&*readers.sampler.snapshot().await?)),
        "/api/problems" => json(&readers.inquiries.problems().await?),
        unknown => Ok(not_found(unknown)),
    }
}

async fn explain(readers: &Readers, query: &str) -> Result<Answer, Unavailable> {
    let query = match ExplainQuery::parse(query) {
        Ok(query) => query,
        Err(error) => return Ok(text(StatusCode::BAD_REQUEST, format!("{error}\n"))),
    };
    let plans = readers.inquiries.plans().await?;
    let mut explanation = match plans.explain(&query) {
        Ok(explanation) => explanation,
        Err(error) => {
            return Ok(text(StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n")));
        }
    };
    let problems = readers.inquiries.problems().await?;
    plans.add_problems(&mut explanation, &problems.problems);
    live::add(&mut explanation, &readers.live.now());
    json(&explanation)
}

fn tap(readers: &Readers, query: Option<&str>, is_tapping: &Arc<AtomicBool>) -> Answer {
    let query = match TapQuery::parse(query.unwrap_or_default()) {
        Ok(query) => query,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let limit = query.limit;
    match readers.taps.open(query) {
        Ok(tap) => {
            let lines = TapBody::new(tap, limit, Tapping::mark(is_tapping));
            respond(StatusCode::OK, JSON_LINES, Either::Right(lines))
        }
        Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

/// [`crate::api::Services`], written row by row.
#[derive(Serialize)]
struct ServiceRows<'a> {
    #[serde(serialize_with = "write_services")]
    services: &'a Plans,
}

/// [`crate::api::Endpoints`], written row by row.
#[derive(Serialize)]
struct EndpointRows {
    #[serde(serialize_with = "write_endpoints")]
    endpoints: MarkedEndpoints,
}

/// Endpoints in force, and which of them get no requests.
struct MarkedEndpoints {
    plans: Plans,
    ejections: Ejections,
}

fn write_services<S: Serializer>(plans: &&Plans, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(plans.services())
}

fn write_endpoints<S: Serializer>(all: &MarkedEndpoints, serializer: S) -> Result<S::Ok, S::Error> {
    let endpoints = all.plans.endpoints();
    serializer.collect_seq(endpoints.map(|endpoint| all.ejections.mark(endpoint)))
}

fn ready(missing: &[&str]) -> Answer {
    if missing.is_empty() {
        return text(StatusCode::OK, "ready\n".to_owned());
    }
    let reasons = missing.join("\n");
    text(StatusCode::SERVICE_UNAVAILABLE, format!("{reasons}\n"))
}

fn not_found(path: &str) -> Answer {
    let mut body = format!("nothing is at {path}; there is:\n");
    for (path, what) in PATHS {
        // Writing to a string cannot fail.
        writeln!(body, "  {path:<18} {what}").ok();
    }
    text(StatusCode::NOT_FOUND, body)
}

fn text(status: StatusCode, body: String) -> Answer {
    respond(status, TEXT, whole(body))
}

fn html(body: String) -> Answer {
    let mut page = respond(StatusCode::OK, HTML, whole(body));
    page.headers_mut().insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
    );
    page
}

fn json(value: &impl Serialize) -> Result<Answer, Unavailable> {
    let body =
        serde_json::to_string(value).map_err(|error| Unavailable::Format(error.to_string()))?;
    Ok(respond(StatusCode::OK, JSON, whole(body)))
}

fn whole(body: String) -> Either<Full<Bytes>, TapBody> {
    Either::Left(Full::new(Bytes::from(body)))
}

fn respond(
    status: StatusCode,
    content_type: HeaderValue,
    body: Either<Full<Bytes>, TapBody>,
) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
