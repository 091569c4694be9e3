//! A file to objects: documents, lists, kinds.

use super::decode::decode;
use super::gateway::explain_foreign;
use super::metadata::{Header, Texts, check_name, read_header};
use super::path::{FieldPath, Step};
use super::report::{FileReport, Report};
use super::route::{self, Draft, Manifest};
use super::tree::{Node, Value};
use super::yaml::Documents;
use super::{FILE_SIZE_MAX, backend_policy, node, policy, policy_spec, service, slice};
use crate::model::{Body, Kind, Object, ObjectId, ObjectLabel, ParsedFile};
use gateway_api::apis::experimental::{
    grpcroutes::GrpcRouteSpec, httproutes::HttpRouteSpec,
    xbackendtrafficpolicies::XBackendTrafficPolicySpec,
};
use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery};
use serde::de::DeserializeOwned;
use std::path::Path;
use std::sync::Arc;

/// Parses and checks one file.
///
/// Reads JSON too, and any number of documents. Everything wrong is in `problems`; nothing in the text can make it fail
/// otherwise. If the text ends in an error, the objects in front of it are checked but not given: a file counts as
/// a whole.
#[must_use]
pub fn parse_file(path: &Path, bytes: &[u8]) -> ParsedFile {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > FILE_SIZE_MAX {
        return refuse_large_file(path, size);
    }
    let file: Arc<Path> = path.into();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let (good, _) = bytes.split_at(error.valid_up_to());
            let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            let line = u32::try_from(line).unwrap_or(u32::MAX);
            let message = format!("not UTF-8 at byte {}", error.valid_up_to());
            return incomplete(file, line, &message, "save the file as UTF-8");
        }
    };
    let mut reader = Reader {
        report: FileReport::new(Arc::clone(&file)),
        texts: Texts::default(),
        objects: Vec::new(),
    };
    let mut is_complete = true;
    for document in Documents::new(text) {
        match document {
            Ok(root) => reader.read_document(root),
            Err(error) => {
                is_complete = false;
                let (line, message) = (error.line(), error.to_string());
                reader.report.note_end(line, &message, error.remedy());
            }
        }
    }
    if !is_complete {
        reader.objects.clear();
    }
    ParsedFile {
        file,
        objects: reader.objects,
        problems: reader.report.finish(),
        is_complete,
    }
}

/// What is to be said of a file of `size` bytes, which is more than is read.
#[must_use]
pub fn refuse_large_file(path: &Path, size: u64) -> ParsedFile {
    let message = format!("the file has {size} bytes, more than the {FILE_SIZE_MAX} that are read");
    let remedy = "split it into several files; until then its objects stay as they were";
    incomplete(path.into(), 0, &message, remedy)
}

/// What is to be said of a file that cannot be read.
#[must_use]
pub fn unreadable_file(path: &Path, error: &std::io::Error) -> ParsedFile {
    let message = format!("cannot be read: {error}");
    let remedy = "check its permissions; until then its objects stay as they were";
    incomplete(path.into(), 0, &message, remedy)
}

fn incomplete(file: Arc<Path>, line: u32, message: &str, remedy: &str) -> ParsedFile {
    let mut report = FileReport::new(Arc::clone(&file));
    report.note(line, message, remedy);
    ParsedFile {
        file,
        objects: Vec::new(),
        problems: report.finish(),
        is_complete: false,
    }
}

/// Reads the documents of one file.
struct Reader {
    report: FileReport,
    texts: Texts,
    objects: Vec<Object>,
}

impl Reader {
    fn read_document(&mut self, mut root: Node<'_>) {
        if root.is_null() {
            return;
        }
        let is_list = root.get("kind").and_then(Node::text).is_some_and(|kind| {
            matches!(
                kind,
                "List"
                    | "ServiceList"
                    | "EndpointSliceList"
                    | "NodeList"
                    | "MeshPolicyList"
                    | "GRPCRouteList"
                    | "HTTPRouteList"
                    | "XBackendTrafficPolicyList"
            )
        });
        if is_list && let Value::Mapping(entries) = &mut root.value {
            let items = entries.iter_mut().find(|entry| entry.key == "items");
            match items.map(|entry| &mut entry.value.value) {
                Some(Value::Sequence(items)) => {
                    for item in std::mem::take(items) {
                        self.read_object(&item);
                    }
                }
                Some(Value::Scalar { .. } | Value::Mapping(_)) | None => self.report.note(
                    root.line,
                    "the List has no items",
                    "give `items` a list of objects",
                ),
            }
            return;
        }
        self.read_object(&root);
    }

    fn read_object(&mut self, root: &Node<'_>) {
        let line = root.line;
        let Some(header) = read_header(root) else {
            let message = "not a Kubernetes object: `apiVersion` or `kind` is missing";
            let remedy = "every document needs apiVersion, kind and metadata.name";
            self.report.note(line, message, remedy);
            return;
        };
        let kind = match (header.api_version, header.kind) {
            ("v1", "Service") => Kind::Service,
            ("v1", "Node") => Kind::Node,
            ("discovery.k8s.io/v1", "EndpointSlice") => Kind::EndpointSlice,
            ("mesh.dev/v1alpha1", "MeshPolicy") => Kind::MeshPolicy,
            ("gateway.networking.x-k8s.io/v1alpha1", "XBackendTrafficPolicy") => {
                Kind::BackendTrafficPolicy
            }
            ("gateway.networking.k8s.io/v1", "GRPCRoute") => Kind::GrpcRoute,
            ("gateway.networking.k8s.io/v1", "HTTPRoute") => Kind::HttpRoute,
            _ => {
                let Header {
                    api_version,
                    kind,
                    label,
                } = header;
                let (message, remedy) = explain_foreign(api_version, kind);
                let mut report = Report::new(&mut self.report, root, label);
                report.warn(&FieldPath::default(), &message, remedy);
                return;
            }
        };
        let label = header.label;
        let id = ObjectId {
            kind,
            name: self.texts.name(&label.namespace, &label.name),
        };
        let body = self.read_body(&id, root, label);
        if !id.name.name.is_empty() {
            self.objects.push(Object {
                id,
                line,
                body: body.map(Arc::new),
            });
        }
    }

    fn read_body(&mut self, id: &ObjectId, root: &Node<'_>, label: ObjectLabel) -> Option<Body> {
        let texts = &mut self.texts;
        let file = &mut self.report;
        let namespace = &id.name.namespace;
        match id.kind {
            Kind::Service => read_typed(file, root, label, |service: &core::Service, report| {
                Body::Service(service::convert(service, texts, report))
            }),
            Kind::EndpointSlice => read_typed(
                file,
                root,
                label,
                |slice: &discovery::EndpointSlice, report| {
                    Body::Slice(slice::convert(slice, texts, report))
                },
            ),
            Kind::Node => read_typed(file, root, label, |node: &core::Node, _| {
                Body::Node(node::convert(node, texts))
            }),
            Kind::MeshPolicy => read_typed(
                file,
                root,
                label,
                |policy: &policy_spec::MeshPolicy, report| {
                    Body::Policy(Box::new(policy::convert(policy, namespace, texts, report)))
                },
            ),
            Kind::BackendTrafficPolicy => read_typed(
                file,
                root,
                label,
                |policy: &Manifest<XBackendTrafficPolicySpec>, report| {
                    Body::Policy(Box::new(backend_policy::convert(policy, texts, report)))
                },
            ),
            Kind::GrpcRoute => read_typed(
                file,
                root,
                label,
                |route: &Manifest<GrpcRouteSpec>, report| {
                    Body::Route(route::convert_grpc(
                        route,
                        Draft::new(namespace, texts, report),
                    ))
                },
            ),
            Kind::HttpRoute => read_typed(
                file,
                root,
                label,
                |route: &Manifest<HttpRouteSpec>, report| {
                    Body::Route(route::convert_http(
                        route,
                        Draft::new(namespace, texts, report),
                    ))
                },
            ),
        }
    }
}

/// Decodes an object, reports what does not fit, and converts it; `None` if it cannot be accepted.
fn read_typed<T: DeserializeOwned>(
    file: &mut FileReport,
    root: &Node<'_>,
    label: ObjectLabel,
    convert: impl FnOnce(&T, &mut Report<'_, '_>) -> Body,
) -> Option<Body> {
    let (value, misfits) = decode::<T>(root);
    let mut report = Report::new(file, root, label.clone());
    check_name(&label, &mut report);
    report_duplicate_keys(root, &mut Vec::new(), &mut report);
    for misfit in misfits {
        match misfit.message {
            None => report.error(
                &misfit.path,
                "unknown field",
                "check its spelling and indentation, or remove it",
            ),
            Some(message) => report.error(
                &misfit.path,
                &message,
                "give a value of the type that Kubernetes documents for the field",
            ),
        }
    }
    let body = convert(&value?, &mut report);
    (!report.has_errors()).then_some(body)
}

fn report_duplicate_keys(node: &Node<'_>, path: &mut Vec<Step>, report: &mut Report<'_, '_>) {
    match &node.value {
        Value::Scalar { .. } => {}
        Value::Sequence(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(Step::Index(index));
                report_duplicate_keys(item, path, report);
                path.pop();
            }
        }
        Value::Mapping(entries) => {
            for entry in entries {
                path.push(Step::Key(entry.key.to_string()));
                if entry.is_duplicate {
                    let path = FieldPath::from_steps(path.clone());
                    let remedy = "keep one of the two";
                    report.error_at(entry.line, &path, "the key is given twice", remedy);
                }
                report_duplicate_keys(&entry.value, path, report);
                path.pop();
            }
        }
    }
}
