//! What the Auto Scaling API of the tests answers where moto alone would not: as AWS does.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::json;

use crate::common::{
    cloud::{CloudNamespace, cloud},
    cluster::eventually,
};

/// Asks for an action of Auto Scaling by the namespace's access key, and returns the answer with its head.
fn ask(namespace: &CloudNamespace, action: &str, parameters: &str) -> String {
    let host = cloud().endpoint.strip_prefix("http://").unwrap();
    let body = format!("Action={action}&Version=2011-01-01{parameters}");
    let credential =
        format!("AWS4-HMAC-SHA256 Credential={}/20260101/us-east-1/autoscaling/aws4_request, SignedHeaders=host, Signature=none", namespace.name);
    let head = format!(
        "POST / HTTP/1.0\r\nHost: {host}\r\nAuthorization: {credential}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[track_caller]
fn refused(answer: &str, status: u32, texts: &[&str]) {
    assert!(answer.lines().next().unwrap().contains(&format!(" {status} ")), "{answer}");
    for text in texts {
        assert!(answer.contains(text), "`{text}` is not said: {answer}");
    }
}

#[test]
fn what_aws_refuses_is_refused_in_its_words() {
    let namespace = cloud().namespace();
    let group = cloud().group("api-refusals", &json!({"max": 2, "cluster": null}));
    let desired = |group: &str, size: u32| ask(&namespace, "SetDesiredCapacity", &format!("&AutoScalingGroupName={group}&DesiredCapacity={size}"));
    refused(&desired(&group.name, 3), 400, &["ValidationError", "New SetDesiredCapacity value 3 is above max value 2 for the AutoScalingGroup."]);
    refused(&desired("api-unknown", 1), 400, &["ValidationError", "not found"]);
    refused(&ask(&namespace, "DescribeScalingActivities", "&AutoScalingGroupName=api-unknown"), 400, &["ValidationError", "not found"]);
    let terminate = ask(&namespace, "TerminateInstanceInAutoScalingGroup", "&InstanceId=i-0&ShouldDecrementDesiredCapacity=true");
    refused(&terminate, 400, &["ValidationError", "No managed instance found for instance ID: i-0"]);
    let unknown = ask(&namespace, "DescribeAutoScalingGroups", "&AutoScalingGroupNames.member.1=api-unknown");
    assert!(unknown.contains(" 200 ") && !unknown.contains("<member>"), "an unknown group is none: {unknown}");
}

#[test]
fn faults_hit_one_access_key_and_end() {
    let namespace = cloud().namespace();
    let groups = || ask(&namespace, "DescribeAutoScalingGroups", "");
    namespace.refuse("throttling", &json!({"times": 2}));
    refused(&groups(), 400, &["<Code>Throttling</Code>", "Rate exceeded"]);
    refused(&groups(), 400, &["Throttling"]);
    assert!(groups().contains(" 200 "), "the third call");
    namespace.refuse("access-denied", &json!({"actions": ["autoscaling:DescribeScalingActivities"]}));
    assert!(groups().contains(" 200 "), "another action");
    let denied = ask(&namespace, "DescribeScalingActivities", "");
    let text = "is not authorized to perform: autoscaling:DescribeScalingActivities because no identity-based policy allows the autoscaling:DescribeScalingActivities action";
    refused(&denied, 403, &["<Code>AccessDenied</Code>", "User: arn:aws:", text]);
    namespace.refuse_nothing();
    namespace.refuse("expired-token", &json!({}));
    refused(&groups(), 403, &["<Code>ExpiredToken</Code>", "The security token included in the request is expired"]);
    assert_eq!(namespace.calls().len(), 6, "{:?}", namespace.calls());
}

#[test]
fn groups_and_activities_come_in_pages() {
    let namespace = cloud().namespace();
    let group = cloud().group("api-page", &json!({"cluster": null, "tags": {"paged": "yes"}, "copies": 100}));
    let filter = "&MaxRecords=100&Filters.member.1.Name=tag-key&Filters.member.1.Values.member.1=paged";
    let page = ask(&namespace, "DescribeAutoScalingGroups", filter);
    assert_eq!(page.matches("<AutoScalingGroupName>").count(), 100);
    let token = page.split_once("<NextToken>").expect("a next page").1.split_once('<').unwrap().0;
    let page = ask(&namespace, "DescribeAutoScalingGroups", &format!("{filter}&NextToken={token}"));
    assert!(page.matches("<AutoScalingGroupName>").count() == 1 && !page.contains("NextToken"), "{page}");
    refused(&ask(&namespace, "DescribeAutoScalingGroups", "&MaxRecords=101"), 400, &["ValidationError"]);

    let past =
        |hour: u32| json!({"AutoScalingGroupName": group.name, "StatusCode": "Successful", "StartTime": format!("2026-01-02T{hour:02}:04:05Z")});
    cloud().order("history", &json!((0..3).map(past).collect::<Vec<_>>()));
    let activities = format!("&AutoScalingGroupName={}&MaxRecords=2", group.name);
    let page = ask(&namespace, "DescribeScalingActivities", &activities);
    let (newest, next) = (page.find("T02:04:05").expect("the newest"), page.find("T01:04:05").expect("the next"));
    assert!(newest < next && !page.contains("T00:04:05") && page.contains("<NextToken>"), "{page}");
}

#[test]
fn launches_fail_wait_and_are_made_good() {
    let group = cloud().group("api-launches", &json!({"cluster": null}));
    group.steer(&json!({"failure": "vcpu-quota", "retry_seconds": 1}));
    group.resize(1);
    eventually("a second try", || group.activities().len() >= 2);
    let activity = group.activities()[0].clone();
    assert!(activity["StatusCode"] == "Failed" && activity["StatusMessage"].as_str().unwrap().contains("VcpuLimitExceeded"), "{activity:#}");
    group.suspend("Launch");
    group.steer(&json!({"failure": null}));
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(group.describe()["Instances"], json!([]), "launches are suspended");
    group.resume("Launch");
    eventually("a machine", || group.describe()["Instances"][0]["LifecycleState"] == "InService");
    let lost = group.lose("health-check");
    eventually("its replacement", || {
        let instances = group.describe()["Instances"].clone();
        instances[0]["LifecycleState"] == "InService" && instances[0]["InstanceId"] != json!(lost)
    });
}
