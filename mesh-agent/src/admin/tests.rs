//! The admin server through its socket, over a real reconcile thread and sampler that have no kernel below them.

mod in_force;

use super::{AdminError, AdminServer, AgentInfo, Readers};
use crate::api::{Connections, Endpoints, Problems, Routes, Rpcs, Services, Status};
use crate::export::prometheus::CONTENT_TYPE;
use crate::lifecycle::{Readiness, Step, Worker};
use crate::model::NodeIdentity;
use crate::observe::{
    BoundState, Bypasses, CallerNamespace, DestinationState, EjectedEndpoint, Live, LiveSource,
    Losses, MapFill, OpenConnection, Path, Progress, Snapshot,
};
use crate::plan::Catalog;
use crate::reconcile::{self, Inbox, Reconciler, SyncReport};
use crate::sampler::{Measurements, Sampler};
use crate::tracer::Taps;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// An agent without a kernel.
struct Bench {
    address: SocketAddr,
    readiness: Readiness,
    inbox: Inbox,
    sampler: Sampler,
    workers: Vec<Worker>,
    stop: watch::Sender<bool>,
    server: tokio::task::JoinHandle<()>,
}

/// What came back.
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn has_header(&self, line: &str) -> bool {
        self.head
            .lines()
            .any(|header| header.eq_ignore_ascii_case(line))
    }
}

impl Bench {
    async fn start() -> Self {
        let readiness = Readiness::default();
        let progress = Progress::default();
        let (inbox, outlet) = Inbox::new();
        let catalog = Catalog::new(NodeIdentity::named("node-1"));
        let reconciler = Reconciler::new(
            catalog,
            "a <test>".to_owned(),
            Box::new(Vec::new),
            progress.clone(),
        );
        let reconcile = reconcile::start(
            reconciler,
            outlet,
            |_, _| SyncReport::default(),
            Instant::now,
        )
        .unwrap();
        let (sampler, observe) = Sampler::start(measurements).unwrap();
        let readers = Readers {
            info: AgentInfo {
                version: "1.2.3",
                started: Instant::now(),
                start_time_seconds: 0.0,
                node: "node-1".to_owned(),
                cgroup: "/cgroup".to_owned(),
                pins: "/bpffs".to_owned(),
                degraded: vec![],
            },
            readiness: readiness.clone(),
            progress,
            sampler: sampler.clone(),
            inquiries: inbox.inquiries(),
            taps: Taps::new(Arc::new(|| {}), Losses::default()),
            losses: Losses::default(),
            bypasses: Bypasses::default(),
            live: LiveSource::new(live),
            proxy: Arc::default(),
        };
        let (stop, stopping) = watch::channel(false);
        let server = AdminServer::bind("127.0.0.1:0".parse().unwrap(), false)
            .await
            .unwrap();
        Self {
            address: server.local_address().unwrap(),
            readiness,
            inbox,
            sampler,
            workers: vec![reconcile, observe],
            stop,
            server: tokio::spawn(server.serve(readers, stopping)),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nhost: mesh\r\nconnection: close\r\n\r\n"
        ))
        .await
    }

    async fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        self.server.await.unwrap();
        self.inbox.stop();
        self.sampler.stop();
        for worker in self.workers {
            worker.join().unwrap();
        }
    }
}

fn measurements() -> Measurements {
    Measurements {
        snapshot: Box::new(|_| Snapshot {
            counters: vec![("rewritten", 3)],
            maps: vec![MapFill {
                name: "FRONTENDS",
                entries: Some(2),
                capacity: Some(2),
                waiting: 0,
                full_total: 4,
                memory_bytes: 4_096,
                is_per_cpu: false,
            }],
            ..Snapshot::default()
        }),
        connections: Box::new(|_| {
            vec![OpenConnection {
                source: "shop/<script>".to_owned(),
                local: "127.0.0.1:1".parse().unwrap(),
                requested: "127.96.0.1:2".parse().unwrap(),
                path: Path::Direct,
                endpoint: Some("127.0.0.1:3".parse().unwrap()),
                service: "shop/inventory".to_owned(),
                workload: String::new(),
                state: "established",
                age_seconds: 1.0,
                rtt_seconds: 0.001,
                sent_bytes: 10,
                received_bytes: 20,
                retransmits: 0,
            }]
        }),
        maintain: Box::new(|_| {}),
        drain: Box::new(|_| Duration::from_secs(1)),
        now: Instant::now,
    }
}

/// An endpoint of `shop/inventory` that is out.
fn live() -> Live {
    Live {
        destinations: vec![DestinationState {
            service: "inventory".into(),
            namespace: "shop".into(),
            port: 50_051,
            is_ipv6: false,
            bounds: vec![BoundState {
                what: "requests",
                used: 2,
                max: Some(2),
            }],
            ejected: vec![EjectedEndpoint {
                address: "10.1.0.5:8080".parse().unwrap(),
                left: Some(Duration::from_secs(9)),
            }],
        }],
        callers: vec![CallerNamespace {
            source: None,
            is_host: false,
            refused: None,
        }],
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

#[test]
fn every_path_answers_with_its_type_and_json_reads_back() {
    run(async {
        let bench = Bench::start().await;
        for (path, content_type) in [
            ("/", "text/html; charset=utf-8"),
            ("/metrics", CONTENT_TYPE),
            ("/livez", "text/plain; charset=utf-8"),
            ("/api/status", "application/json"),
        ] {
            let answer = bench.get(path).await;
            assert_eq!(answer.status(), 200, "{path}: {}", answer.body);
            let header = format!("content-type: {content_type}");
            assert!(answer.has_header(&header), "{path}: {}", answer.head);
        }
        let status: Status = serde_json::from_str(&bench.get("/api/status").await.body).unwrap();
        assert_eq!(status.full_maps().len(), 1);
        let open: Connections =
            serde_json::from_str(&bench.get("/api/connections").await.body).unwrap();
        assert_eq!(open.total, 1);
        let services: Services =
            serde_json::from_str(&bench.get("/api/services").await.body).unwrap();
        assert_eq!(services, Services::default());
        let endpoints: Endpoints =
            serde_json::from_str(&bench.get("/api/endpoints").await.body).unwrap();
        assert_eq!(endpoints, Endpoints::default());
        let routes: Routes = serde_json::from_str(&bench.get("/api/routes").await.body).unwrap();
        assert_eq!(routes, Routes::default());
        let rpcs: Rpcs = serde_json::from_str(&bench.get("/api/rpcs").await.body).unwrap();
        assert!(rpcs.methods.is_empty());
        let problems: Problems =
            serde_json::from_str(&bench.get("/api/problems").await.body).unwrap();
        assert_eq!(problems.total, 0);
        bench.stop().await;
    });
}

#[test]
fn not_ready_says_why_until_every_step_is_done() {
    run(async {
        let bench = Bench::start().await;
        let steps = [
            Step::KernelLoaded,
            Step::FirstPlanApplied,
            Step::AttachedAndPinned,
        ];
        for step in steps {
            let answer = bench.get("/readyz").await;
            assert_eq!(answer.status(), 503);
            assert!(answer.body.contains("yet"), "{}", answer.body);
            bench.readiness.done(step);
        }
        assert_eq!(bench.get("/readyz").await.status(), 200);
        bench.readiness.stopping();
        let answer = bench.get("/readyz").await;
        assert_eq!(
            (answer.status(), answer.body.as_str()),
            (503, "the agent is shutting down\n")
        );
        assert_eq!(bench.get("/livez").await.status(), 200);
        bench.stop().await;
    });
}

#[test]
fn only_reading_is_possible_and_unknown_paths_list_the_known() {
    run(async {
        let bench = Bench::start().await;
        let refused = bench
            .send("POST /api/status HTTP/1.1\r\nhost: mesh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
        assert_eq!(refused.status(), 405);
        assert!(refused.has_header("allow: GET, HEAD"), "{}", refused.head);

        let head = bench
            .send("HEAD /metrics HTTP/1.1\r\nhost: mesh\r\nconnection: close\r\n\r\n")
            .await;
        assert_eq!((head.status(), head.body.as_str()), (200, ""));

        let unknown = bench.get("/metric").await;
        assert_eq!(unknown.status(), 404);
        assert!(unknown.body.contains("/metrics"), "{}", unknown.body);
        bench.stop().await;
    });
}

#[test]
fn a_tap_goes_on_until_the_server_ends_and_a_wrong_one_says_why() {
    run(async {
        let bench = Bench::start().await;
        let wrong = bench.get("/api/tap?status=SAD").await;
        assert_eq!(wrong.status(), 400);
        assert!(wrong.body.contains("SAD"), "{}", wrong.body);
        let none = bench.get("/api/tap?limit=0").await;
        assert_eq!((none.status(), none.body.as_str()), (200, "0\r\n\r\n"));

        let mut tap = TcpStream::connect(bench.address).await.unwrap();
        tap.write_all(b"GET /api/tap HTTP/1.1\r\nhost: mesh\r\n\r\n")
            .await
            .unwrap();
        let mut begin = [0; 15];
        tap.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200 OK");
        bench.stop().await;
        let mut rest = String::new();
        tap.read_to_string(&mut rest).await.unwrap();
        assert!(rest.ends_with("\r\n0\r\n\r\n"), "{rest}");
    });
}

#[test]
fn an_oversized_head_is_refused_and_the_server_goes_on() {
    run(async {
        let bench = Bench::start().await;
        let huge = "x".repeat(64 * 1024);
        let mut stream = TcpStream::connect(bench.address).await.unwrap();
        // The server may close before all of it is written.
        let request = format!("GET / HTTP/1.1\r\nhost: mesh\r\nx: {huge}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok();
        let mut answer = vec![];
        stream.read_to_end(&mut answer).await.ok();
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
            "{answer}"
        );
        assert_eq!(bench.get("/livez").await.status(), 200);
        bench.stop().await;
    });
}

#[test]
fn the_page_escapes_what_others_named_and_names_the_full_map() {
    run(async {
        let bench = Bench::start().await;
        let page = bench.get("/").await.body;
        assert!(page.contains("shop/&lt;script&gt;") && !page.contains("<script"));
        assert!(page.contains("a &lt;test&gt;"));
        assert!(page.contains("map FRONTENDS is full: 4 times"), "{page}");
        assert!(page.contains("http-equiv=\"refresh\""));
        bench.stop().await;
    });
}

#[test]
fn an_address_that_others_reach_needs_leave() {
    run(async {
        let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
        let refused = AdminServer::bind(everywhere, false).await.unwrap_err();
        assert!(matches!(refused, AdminError::NotLoopback(_)));
        assert!(refused.to_string().contains("--admin-remote"));
        for loopback in ["127.9.9.9:0", "[::1]:0"] {
            AdminServer::bind(loopback.parse().unwrap(), false)
                .await
                .unwrap();
        }
        let taken = AdminServer::bind("127.0.0.1:0".parse().unwrap(), false)
            .await
            .unwrap();
        let again = AdminServer::bind(taken.local_address().unwrap(), false).await;
        assert!(matches!(again.unwrap_err(), AdminError::Listen { .. }));
    });
}

#[test]
fn stopping_ends_idle_connections_too() {
    run(async {
        let bench = Bench::start().await;
        let mut idle = TcpStream::connect(bench.address).await.unwrap();
        idle.write_all(b"GET /livez HTTP/1.1\r\nhost: mesh\r\n\r\n")
            .await
            .unwrap();
        let mut some = [0; 16];
        idle.read_exact(&mut some).await.unwrap();
        bench.stop().await;
        let mut rest = vec![];
        idle.read_to_end(&mut rest).await.unwrap();
    });
}
