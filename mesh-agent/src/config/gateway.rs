//! Kinds that the mesh names but does not put into force.

/// What to say of an object of a kind that is not in force: message and remedy.
pub(super) fn explain_foreign(api_version: &str, kind: &str) -> (String, &'static str) {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("gateway.networking.k8s.io", "GRPCRoute" | "HTTPRoute") => (
            format!("{api_version} {kind} is not a version the mesh reads and has no effect"),
            "use gateway.networking.k8s.io/v1, which has all that older versions have",
        ),
        ("gateway.networking.k8s.io" | "gateway.networking.x-k8s.io", _) => (
            format!("{kind} is not in force: the mesh does nothing of what it says"),
            "of Gateway API the mesh knows GRPCRoute, HTTPRoute and XBackendTrafficPolicy (v1alpha1); remove the object if you rely on it",
        ),
        ("mesh.dev", _) => (
            format!("{api_version} {kind} is not known and has no effect"),
            "the mesh knows mesh.dev/v1alpha1 MeshPolicy",
        ),
        ("", "Service" | "Node" | "List") | ("discovery.k8s.io", "EndpointSlice") => (
            format!("{api_version} {kind} is not a version the mesh reads and has no effect"),
            "use v1 Service, v1 Node, v1 List or discovery.k8s.io/v1 EndpointSlice",
        ),
        ("", "Endpoints") => (
            "Endpoints has no effect: the mesh reads EndpointSlices".to_owned(),
            "write a discovery.k8s.io/v1 EndpointSlice instead",
        ),
        _ => (
            format!("{api_version} {kind} is not a kind of the mesh and has no effect"),
            "remove it from this directory, or ignore this warning",
        ),
    }
}
