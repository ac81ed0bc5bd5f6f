//! One request for a log, and what it means when there is none.

use http::{Response, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    api::LogParams,
    client::Body,
    core::{Request, Status},
};

use crate::kubernetes::{
    connect::Cluster,
    error::{
        cause::{Cause, cause},
        explain,
    },
    retry::CallError,
};

/// Why a log cannot be read now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The container has not started.
    NotStarted,
    /// The pod object is gone.
    PodGone,
    /// It will not be different next time.
    Final(String),
    /// The node does not answer, or does not have the log at the moment.
    Node(String),
    /// The API server does not answer.
    Server(String),
}

/// Opens a log. The answer begins with its first byte: a silent container lets a following request wait.
pub(super) async fn open(cluster: &Cluster, pod: &str, parameters: &LogParams) -> Result<Body, Refusal> {
    let url = cluster.api::<Pod>().resource_url().to_owned();
    let request = Request::new(url).logs(pod, parameters).map_err(|_| Refusal::Final("its name fits no address".to_owned()))?;
    cluster.turn().await;
    let response = cluster.client.send(request.map(Body::from)).await.map_err(|error| refusal_of(cluster, error))?;
    match response.status() {
        StatusCode::NO_CONTENT => Err(Refusal::NotStarted),
        status if status.is_success() => Ok(response.into_body()),
        status => Err(refusal(&read_status(status, response).await)),
    }
}

fn refusal_of(cluster: &Cluster, error: kube::Error) -> Refusal {
    let passing = match cause(&error) {
        Cause::Unauthorized(_) | Cause::Unsendable => false,
        Cause::Plugin(_) => cluster.had_credential(),
        _ => true,
    };
    if passing {
        Refusal::Server(cause(&error).to_string())
    } else {
        Refusal::Final(explain(CallError::Refused(error), "reading the log").message().to_owned())
    }
}

async fn read_status(code: StatusCode, response: Response<Body>) -> Status {
    let body = response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    serde_json::from_slice(&body).unwrap_or_else(|_| Status::failure(String::from_utf8_lossy(&body).trim(), "").with_code(code.as_u16()))
}

fn refusal(status: &Status) -> Refusal {
    let kind = status.details.as_ref().map(|details| details.kind.as_str());
    // The kubelet's own answer travels as a cause; its 404 does not mean that the API server knows no such pod.
    let kubelet = status.details.iter().flat_map(|details| &details.causes).find(|cause| cause.reason == "UnexpectedServerResponse");
    let words = kubelet.map_or(status.message.as_str(), |cause| cause.message.as_str()).lines().next().unwrap_or_default().trim();
    match status.code {
        // The kubelet and the API server word it alike: `container "x" in pod "y" is waiting to start: ContainerCreating`.
        400 if words.contains("is waiting to start") => Refusal::NotStarted,
        400 if words.contains("previous terminated container") => Refusal::Final("the container has not run before".to_owned()),
        404 if kind == Some("nodes") => Refusal::Node("its node is gone".to_owned()),
        404 if kind == Some("pods") && kubelet.is_none() => Refusal::PodGone,
        401 | 403 | 422 => {
            let error = CallError::Refused(kube::Error::Api(status.clone().boxed()));
            Refusal::Final(explain(error, "reading the log").message().to_owned())
        }
        _ if words.is_empty() => Refusal::Node(format!("status {}", status.code)),
        _ => Refusal::Node(words.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_answer_without_a_log_is_told_apart() {
        let kubelet =
            json!({ "kind": "pods", "name": "p", "causes": [{ "reason": "UnexpectedServerResponse", "message": "pod \"p\" does not exist\n" }] });
        for (code, message, details, expected) in [
            (400, "container \"flow\" in pod \"p\" is waiting to start: ContainerCreating", json!(null), Refusal::NotStarted),
            (400, "container \"flow\" in pod \"p\" is waiting to start: trying and failing to pull image", json!(null), Refusal::NotStarted),
            (
                400,
                "previous terminated container \"flow\" in pod \"p\" not found",
                json!(null),
                Refusal::Final("the container has not run before".into()),
            ),
            (
                400,
                "unable to retrieve container logs for containerd://1",
                json!(null),
                Refusal::Node("unable to retrieve container logs for containerd://1".into()),
            ),
            (404, "pods \"p\" not found", json!({ "kind": "pods", "name": "p" }), Refusal::PodGone),
            (404, "nodes \"n\" not found", json!({ "kind": "nodes", "name": "n" }), Refusal::Node("its node is gone".into())),
            (404, "the server could not find the requested resource ( pods/log p)", kubelet, Refusal::Node("pod \"p\" does not exist".into())),
            (
                500,
                "Get \"https://10.0.0.1:10250/containerLogs\": dial tcp 10.0.0.1:10250: i/o timeout",
                json!(null),
                Refusal::Node("Get \"https://10.0.0.1:10250/containerLogs\": dial tcp 10.0.0.1:10250: i/o timeout".into()),
            ),
            (502, "", json!(null), Refusal::Node("status 502".into())),
            (
                403,
                "pods \"p\" is forbidden: User \"ana\" cannot get resource \"pods/log\" in API group \"\" in the namespace \"flows\"",
                json!(null),
                Refusal::Final("`ana` may not get pods/log in namespace `flows`, while reading the log".into()),
            ),
        ] {
            let status: Status = serde_json::from_value(json!({ "code": code, "message": message, "reason": "", "details": details })).unwrap();
            assert_eq!(refusal(&status), expected, "{code} {message}");
        }
    }
}
