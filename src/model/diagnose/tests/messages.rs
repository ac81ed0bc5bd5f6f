//! Words of kubelets, container runtimes and registries, as they come.

use super::builders::*;
use crate::model::{diagnose::diagnose, reason::Reason, story::Cause};

fn cause_of(reason: &str, message: &str) -> Cause {
    diagnose(&mk_evidence([mk_waiting(reason, message)]), at(20)).cause.expect("a cause")
}

#[test]
fn image_errors_are_told_apart() {
    let prefix = "failed to pull and unpack image \"registry.example/flows:1\": failed to resolve reference \"registry.example/flows:1\": ";
    let table = [
        ("registry.example/flows:1: not found", Reason::ImageNotFound),
        ("unexpected status from HEAD request to https://registry.example/v2/flows/manifests/1: 404 Not Found", Reason::ImageNotFound),
        ("manifest unknown: The image manifest does not exist", Reason::ImageNotFound),
        ("no match for platform in manifest sha256:00: not found", Reason::ImageNotFound),
        (
            "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
            Reason::ImageUnauthorized,
        ),
        ("failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized", Reason::ImageUnauthorized),
        ("unexpected status from HEAD request to https://1.dkr.ecr.eu-west-1.amazonaws.com/v2/x: 403 Forbidden", Reason::ImageUnauthorized),
        ("no basic auth credentials", Reason::ImageUnauthorized),
        ("failed to do request: Head \"https://registry.example/v2\": dial tcp: lookup registry.example: no such host", Reason::ImageUnreachable),
        ("failed to do request: Head \"https://registry.example/v2\": dial tcp 127.0.0.1:1: connect: connection refused", Reason::ImageUnreachable),
        ("failed to do request: net/http: TLS handshake timeout", Reason::ImageUnreachable),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", Reason::ImageUnreachable),
        ("unexpected status: 429 Too Many Requests - toomanyrequests: You have reached your pull rate limit", Reason::ImageUnreachable),
        ("failed to authorize: failed to fetch anonymous token: Get \"https://auth\": dial tcp 1.2.3.4:443: i/o timeout", Reason::ImageUnreachable),
        ("failed to authorize: authorization failed: Get \"https://auth\": dial tcp 1.2.3.4:443: i/o timeout", Reason::ImageUnreachable),
        ("failed to extract layer sha256:00: write /var/lib/x: no space left on device", Reason::ImageUnreachable),
        ("unexpected EOF", Reason::ImageUnreachable),
    ];
    for (words, reason) in table {
        for (state, message) in [
            ("ErrImagePull", format!("rpc error: code = NotFound desc = {prefix}{words}")),
            ("ImagePullBackOff", format!("Back-off pulling image \"registry.example/flows:1\": ErrImagePull: {prefix}{words}")),
        ] {
            let cause = cause_of(state, &message);
            assert_eq!((cause.reason, cause.hopeless), (reason, reason != Reason::ImageUnreachable), "{words}");
            assert!(cause.summary.contains("registry.example/flows:1"), "{}", cause.summary);
        }
    }
}

#[test]
fn an_older_kubelet_gives_the_reason_in_an_event() {
    let evidence = mk_evidence([mk_waiting("ImagePullBackOff", "Back-off pulling image \"registry.example/flows:1\"")]).with(|evidence| {
        evidence.events = vec![
            mk_pod_event("Failed", "Failed to pull image \"registry.example/flows:1\": registry.example/flows:1: not found", "kubelet", 9),
            mk_pod_event("Failed", "Error: ErrImagePull", "kubelet", 9),
            mk_pod_event("BackOff", "Back-off pulling image \"registry.example/flows:1\"", "kubelet", 10),
        ];
    });
    let cause = diagnose(&evidence, at(20)).cause.expect("a cause");
    assert_eq!((cause.reason, cause.hopeless), (Reason::ImageNotFound, true));
    assert_eq!(cause.evidence[1].source, "event Failed on pod etl-1-abcde");
}

#[test]
fn other_words_about_images_are_known() {
    let never = cause_of("ErrImageNeverPull", "Container image \"registry.example/flows:1\" is not present with pull policy of Never");
    assert_eq!((never.reason, never.hopeless), (Reason::ImageNotFound, true));
    let name =
        cause_of("InvalidImageName", "Failed to apply default image tag \"Flows\": couldn't parse image name \"Flows\": invalid reference format");
    assert_eq!((name.reason, name.hopeless), (Reason::ImageInvalid, true));
    let registry = cause_of("RegistryUnavailable", "image pull failed for registry.example/flows:1 because the registry is unavailable");
    assert_eq!((registry.reason, registry.hopeless), (Reason::ImageUnreachable, false));
}

#[test]
fn configuration_errors_name_what_is_missing() {
    let table = [
        ("secret \"api\" not found", Reason::ConfigSecretMissing, "the Secret `api` does not exist in namespace `flows`"),
        ("configmap \"api\" not found", Reason::ConfigConfigMapMissing, "the ConfigMap `api` does not exist in namespace `flows`"),
        ("couldn't find key TOKEN in Secret flows/api", Reason::ConfigSecretMissing, "the Secret `api` has no key `TOKEN`"),
        ("couldn't find key mode in ConfigMap flows/api", Reason::ConfigConfigMapMissing, "the ConfigMap `api` has no key `mode`"),
        (
            "container has runAsNonRoot and image has non-numeric user (nobody), cannot verify user is non-root (pod: \"etl\", container: flow)",
            Reason::ConfigRunAsRoot,
            "the image would run as root or as a user without a number, and the pod must not run as root",
        ),
        ("no command specified", Reason::ConfigOther, "the kubelet cannot start the container: no command specified"),
    ];
    for (message, reason, summary) in table {
        let cause = cause_of("CreateContainerConfigError", message);
        assert_eq!((cause.reason, cause.summary.as_str()), (reason, summary), "{message}");
        assert_eq!(cause.evidence[0].text, format!("CreateContainerConfigError: {message}"));
    }
}

#[test]
fn mounts_that_fail_name_what_is_missing() {
    let table = [
        (
            "MountVolume.SetUp failed for volume \"keys\" : secret \"api\" not found",
            Reason::ConfigSecretMissing,
            "the Secret `api` does not exist in namespace `flows`",
        ),
        (
            "MountVolume.SetUp failed for volume \"flow\" : configmap \"etl-1-0\" not found",
            Reason::ConfigConfigMapMissing,
            "the ConfigMap `etl-1-0` does not exist in namespace `flows`",
        ),
        (
            "MountVolume.SetUp failed for volume \"keys\" : references non-existent secret key: TOKEN",
            Reason::ConfigSecretMissing,
            "the Secret of volume `keys` has no key `TOKEN`",
        ),
        (
            "MountVolume.SetUp failed for volume \"nfs\" : mount failed: exit status 32",
            Reason::VolumeMount,
            "volume `nfs` cannot be mounted: MountVolume.SetUp failed for volume \"nfs\" : mount failed: exit status 32",
        ),
    ];
    for (message, reason, summary) in table {
        let evidence = mk_evidence([mk_waiting("ContainerCreating", "")]).with(|evidence| {
            evidence.events = vec![
                mk_pod_event("FailedMount", message, "kubelet", 8),
                mk_pod_event(
                    "FailedMount",
                    "Unable to attach or mount volumes: unmounted volumes=[x]: timed out waiting for the condition",
                    "kubelet",
                    130,
                ),
            ];
            if reason == Reason::VolumeMount {
                evidence.events.pop();
            }
        });
        let cause = diagnose(&evidence, at(140)).cause.expect("a cause");
        assert_eq!((cause.reason, cause.summary.as_str(), cause.hopeless), (reason, summary, false), "{message}");
    }
}

#[test]
fn a_mount_that_succeeded_later_is_past() {
    let evidence = mk_evidence([mk_waiting("ContainerCreating", "")]).with(|evidence| {
        evidence.events = vec![
            mk_pod_event("FailedMount", "MountVolume.SetUp failed for volume \"keys\" : secret \"api\" not found", "kubelet", 8),
            mk_pod_event("Pulling", "Pulling image \"registry.example/flows:1\"", "kubelet", 12),
        ];
    });
    assert_eq!(diagnose(&evidence, at(20)).cause.expect("a cause").reason, Reason::ImagePulling);
    let pulled = evidence.with(|evidence| evidence.events.push(mk_pod_event("Pulled", "Successfully pulled image", "kubelet", 15)));
    assert_eq!(diagnose(&pulled, at(20)).cause.expect("a cause").reason, Reason::ContainerCreating);
}
