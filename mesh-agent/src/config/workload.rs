//! From a pod's generated name to the workload that made it.

/// The letters Kubernetes generates names from (`k8s.io/apimachinery/pkg/util/rand`): no vowels, nothing to misread.
const SAFE_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Length of the random suffix of a pod made by a ReplicaSet, DaemonSet or Job.
const POD_SUFFIX_LENGTH: usize = 5;

/// Lengths of a ReplicaSet's pod-template hash: a 32-bit number in decimal, each digit encoded.
const TEMPLATE_HASH_LENGTHS: std::ops::RangeInclusive<usize> = 6..=10;

/// The workload behind a pod's name: without `-<hash>-<5>` (Deployment), `-<5>` (DaemonSet, ReplicaSet, Job) or
/// `-<n>` (StatefulSet); a name of any other form is its own workload.
pub(super) fn workload_name(pod: &str) -> &str {
    let Some((owner, suffix)) = split_last(pod) else {
        return pod;
    };
    if !is_generated(suffix) || suffix.len() != POD_SUFFIX_LENGTH {
        return if is_ordinal(suffix) { owner } else { pod };
    }
    match split_last(owner) {
        Some((deployment, hash))
            if is_generated(hash) && TEMPLATE_HASH_LENGTHS.contains(&hash.len()) =>
        {
            deployment
        }
        Some(_) | None => owner,
    }
}

fn split_last(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('-')
        .filter(|(owner, suffix)| !owner.is_empty() && !suffix.is_empty())
}

fn is_generated(suffix: &str) -> bool {
    suffix.bytes().all(|byte| SAFE_ALPHABET.contains(&byte))
}

fn is_ordinal(suffix: &str) -> bool {
    suffix.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::workload_name;

    #[test]
    fn generated_suffixes_are_stripped() {
        for (pod, workload) in [
            ("inventory-6d4b75cb6d-hx8kz", "inventory"),
            ("order-api-7f9c6d5bb4-2lqwz", "order-api"),
            ("order-api-7f9c6d5bb4-2aqwz", "order-api-7f9c6d5bb4-2aqwz"), // no vowel is generated
            ("node-exporter-x7zkq", "node-exporter"),
            ("postgres-0", "postgres"),
            ("postgres-12", "postgres"),
            ("plain", "plain"),
            ("two-words", "two-words"),
            ("-0", "-0"),
            ("a-", "a-"),
            ("", ""),
            ("payment-24567", "payment"), // an ordinal and a random suffix alike
            ("web-66b6c48dd5-0", "web-66b6c48dd5"),
        ] {
            assert_eq!(workload_name(pod), workload, "{pod}");
        }
    }
}
