use std::{io, time::Duration};

use kube::core::response::{StatusCause, StatusDetails};

use super::*;
use crate::error::ErrorKind;

fn mk_status(code: u16, reason: &str, message: &str, details: Option<(&str, &str)>) -> Status {
    let status = Status::failure(message, reason).with_code(code);
    match details {
        Some((kind, name)) => status.with_details(mk_details(kind, name, &[])),
        None => status,
    }
}

fn mk_details(kind: &str, name: &str, causes: &[(&str, &str)]) -> StatusDetails {
    let cause = |(field, message): &(&str, &str)| StatusCause { reason: String::new(), field: (*field).to_owned(), message: (*message).to_owned() };
    let causes = causes.iter().map(cause).collect();
    StatusDetails { kind: kind.to_owned(), name: name.to_owned(), causes, group: String::new(), uid: String::new(), retry_after_seconds: 0 }
}

fn explained(status: Status) -> (ErrorKind, String, Vec<String>, Vec<String>) {
    let error = explain(CallError::Refused(kube::Error::Api(status.boxed())), "creating Job `x`");
    (error.kind(), error.message().to_owned(), error.causes(), error.hints().to_vec())
}

/// A row: what is expected of an explanation, as text.
fn row(kind: ErrorKind, message: &str, causes: &[&str], hints: &[&str]) -> (ErrorKind, String, Vec<String>, Vec<String>) {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    (kind, message.to_owned(), owned(causes), owned(hints))
}

#[test]
fn rbac_names_who_may_not_do_what_and_how_to_ask() {
    let words = r#"jobs.batch is forbidden: User "ana" cannot create resource "jobs" in API group "batch" in the namespace "flows""#;
    assert_eq!(
        explained(mk_status(403, "Forbidden", words, Some(("jobs", "")))),
        row(
            ErrorKind::NotAllowed,
            "`ana` may not create jobs.batch in namespace `flows`, while creating Job `x`",
            &[],
            &[
                "ask for a Role that allows `create` on `jobs.batch`",
                "`kubectl auth can-i create jobs.batch --namespace flows` tells when you have it"
            ],
        )
    );
    let words = r#"nodes is forbidden: User "ana" cannot list resource "nodes" in API group "" at the cluster scope"#;
    let (kind, message, _, hints) = explained(mk_status(403, "Forbidden", words, Some(("nodes", ""))));
    assert_eq!((kind, message.as_str()), (ErrorKind::NotAllowed, "`ana` may not list nodes, while creating Job `x`"));
    assert_eq!(hints[0], "ask for a ClusterRole that allows `list` on `nodes`");
    let words = r#"pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "a""#;
    assert_eq!(explained(mk_status(403, "Forbidden", words, None)).3, ["the kubeconfig's user has no credentials, or the server did not see them"]);
}

#[test]
fn an_admission_policy_is_named_with_all_that_it_says() {
    let words = "jobs.batch \"x\" is forbidden: ValidatingAdmissionPolicy 'sbrun-flows' with binding 'sbrun-flows' denied request: set a; set b";
    let hint =
        "`sbrun setup` made the policy from an instance map: when the map has changed since, `sbrun setup policy --apply` brings it up to date";
    let message = "the cluster's admission policy `sbrun-flows` refuses it, while creating Job `x`";
    let expected = row(ErrorKind::Rejected, message, &["set a", "set b"], &[hint]);
    assert_eq!(explained(mk_status(422, "Invalid", words, Some(("jobs", "x")))), expected);
    assert_eq!(explained(mk_status(403, "Forbidden", words, Some(("jobs", "x")))), expected);
    let (kind, message, causes, hints) = explained(mk_status(422, "Invalid", &words.replace("sbrun-flows", "no-latest"), None));
    assert_eq!((kind, message.contains("`no-latest`"), causes.len(), hints.len()), (ErrorKind::Rejected, true, 2, 0));
}

#[test]
fn admission_is_not_a_matter_of_permission() {
    let quota = r#"pods "x" is forbidden: exceeded quota: team-a, requested: cpu=4, used: cpu=8, limited: cpu=8"#;
    assert_eq!(
        explained(mk_status(403, "Forbidden", quota, Some(("pods", "x")))),
        row(
            ErrorKind::Rejected,
            "the namespace's quota `team-a` does not allow it, while creating Job `x`",
            &[quota],
            &["`kubectl describe quota` shows what is used; a smaller size may fit"],
        )
    );
    for (words, message) in [
        (r#"pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true"#, "Pod Security of the namespace refuses the pod"),
        (
            r#"jobs.batch "x" is forbidden: unable to create new content in namespace a because it is being terminated"#,
            "the namespace is being deleted",
        ),
        (r#"admission webhook "policy.example" denied the request: no"#, "the API server forbids it"),
    ] {
        let (kind, got, causes, _) = explained(mk_status(403, "Forbidden", words, None));
        assert_eq!((kind, got, causes), (ErrorKind::Rejected, format!("{message}, while creating Job `x`"), vec![words.to_owned()]));
    }
}

#[test]
fn every_other_status_has_its_words() {
    use ErrorKind::{Failed, NotAllowed, Rejected, Unreachable};
    let html = "<!DOCTYPE html><html><body>Please log in</body></html>";
    let table = [
        (mk_status(401, "Unauthorized", "", None), NotAllowed, "the API server does not accept the credentials, while"),
        (mk_status(404, "NotFound", "", Some(("jobs", "x"))), Failed, "Job `x` does not exist, while"),
        (mk_status(404, "NotFound", "", Some(("namespaces", "a"))), Rejected, "namespace `a` does not exist, while"),
        (mk_status(404, "Failed to parse error data", "404 page not found", None), Unreachable, "the server does not know this request, while"),
        (mk_status(409, "AlreadyExists", "", Some(("jobs", "x"))), Rejected, "Job `x` exists already, while"),
        (mk_status(409, "Conflict", "", Some(("jobs", "x"))), Failed, "Job `x` has changed meanwhile, while"),
        (mk_status(413, "", "", None), Rejected, "the request is too large for the API server, while"),
        (mk_status(400, "BadRequest", "", None), Rejected, "the API server refuses the request (status 400), while"),
        (mk_status(429, "TooManyRequests", "", None), Unreachable, "the API server has too much to do, while"),
        (mk_status(503, "ServiceUnavailable", "", None), Unreachable, "the API server is in trouble (status 503), while"),
        (
            mk_status(502, "Failed to parse error data", html, None),
            Unreachable,
            "something answered with a web page in place of the API server (status 502), while",
        ),
    ];
    for (status, kind, message) in table {
        let (got_kind, got, causes, _) = explained(status);
        assert_eq!((got_kind, got), (kind, format!("{message} creating Job `x`")));
        assert!(causes.iter().all(|cause| !cause.contains('<')), "{causes:?}");
    }
}

#[test]
fn an_invalid_object_names_its_fields() {
    let details = mk_details("jobs", "x", &[("spec.template", "Invalid value: field is immutable"), ("", "and more")]);
    let (kind, message, causes, _) = explained(mk_status(422, "Invalid", "Job.batch \"x\" is invalid: …", None).with_details(details));
    assert_eq!((kind, message.as_str()), (ErrorKind::Rejected, "the API server does not accept Job `x`, while creating Job `x`"));
    assert_eq!(causes, ["`spec.template`: Invalid value: field is immutable; and more"]);
}

#[test]
fn connections_fail_in_words_and_never_in_debug_dumps() {
    let service = |error: Box<dyn std::error::Error + Send + Sync>| kube::Error::Service(error);
    let tls = |error| service(io::Error::other(rustls::Error::InvalidCertificate(error)).into());
    let overdue = cause::Overdue { after: Duration::from_secs(15), origin: Origin { server: "https://c".into(), context: Some("prod".into()) } };
    for (error, words) in [
        (service(io::Error::from(io::ErrorKind::ConnectionReset).into()), "the connection to the API server broke while doing it: connection closed"),
        (tls(rustls::CertificateError::Expired), "the connection to the API server broke while doing it: its certificate has expired"),
        (
            tls(rustls::CertificateError::UnknownIssuer),
            "the connection to the API server broke while doing it: its certificate is signed by an unknown authority",
        ),
        (service(overdue.into()), "the API server at `https://c` did not answer within 15 s while doing it"),
        (kube::Error::LinesCodecMaxLineLengthExceeded, "the request could not be made while doing it"),
    ] {
        let error = explain(CallError::Ambiguous(error), "doing it");
        assert_eq!(error.message(), words);
        assert_eq!(error.hints().last().unwrap(), "the server may have carried it out all the same: look before you repeat it");
        assert!(error.causes().is_empty());
    }
}

#[tokio::test]
async fn real_failures_to_connect_are_named() {
    use crate::kubernetes::retry::{Patience, Repeat, script::connect};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            drop(tokio::io::AsyncWriteExt::write_all(&mut connection, b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
        }
    });
    for (server, words) in [
        ("http://127.0.0.1:1".to_owned(), "connection refused"),
        ("http://no-such-host.invalid".to_owned(), "its name cannot be resolved"),
        (format!("https://{plain}"), "it does not speak TLS"),
    ] {
        let (cluster, _) = connect(&server, serde_json::json!({})).await;
        let api = cluster.api::<k8s_openapi::api::core::v1::Pod>();
        let error = cluster.call(Repeat::Read, Patience::ONCE, "reading it", || api.get("x")).await.unwrap_err();
        let error = explain(error, "reading it");
        assert_eq!(error.message(), format!("cannot reach the API server at `{server}` while reading it: {words}"));
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert_eq!(error.hints().last().unwrap(), "the kubeconfig's context is `test`; `kubectl --context test cluster-info` asks the same server");
    }
}
