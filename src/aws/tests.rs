//! The adapter against a server that speaks the Query API's wire format: pages, refusals, garbage and silence. The texts of errors are
//! AWS's own, as users quote them.

use std::time::Duration;

use aws_credential_types::{credential_fn::provide_credentials_fn, provider::error::CredentialsError};
use aws_sdk_autoscaling::config::Credentials;
use jiff::Timestamp;

use super::*;
use crate::{
    error::ErrorKind,
    kubernetes::retry::script::{Reply, Seen, Server},
    model::{
        autoscaler_tags,
        node_group::{AccountGroup, Instance, SuspendedProcess},
        scaling_activity::{LaunchFailure, ScalingActivity},
    },
};

const QUICK: Limits = Limits {
    region: Duration::from_millis(500),
    connect: Duration::from_millis(500),
    attempt: Duration::from_millis(300),
    call: Duration::from_secs(5),
    question: Duration::from_secs(5),
    closed: Duration::from_secs(60),
};

fn loader(url: &str) -> ConfigLoader {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    aws_config::defaults(BehaviorVersion::latest()).endpoint_url(url).credentials_provider(credentials)
}

/// Returns an account at this address, connected as a loader says.
async fn account(loader: ConfigLoader, limits: Limits) -> Account {
    let account = Account::with_limits(Some("eu-west-1"), Some("prod"), Some("dev"), limits);
    let connected = account.load(loader).await;
    account.shared.connected.set(connected).expect("nobody has connected it yet");
    account
}

async fn served(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> (Account, Server) {
    let server = Server::start(script).await;
    (account(loader(&server.url), Limits::USUAL).await, server)
}

fn xml(status: u16, body: &str) -> Reply {
    Reply::Answer(status, "Content-Type: text/xml\r\n", body.as_bytes().to_vec())
}

fn answer(action: &str, result: &str) -> Reply {
    let namespace = "http://autoscaling.amazonaws.com/doc/2011-01-01/";
    xml(200, &format!("<{action}Response xmlns=\"{namespace}\"><{action}Result>{result}</{action}Result></{action}Response>"))
}

fn groups(names: impl IntoIterator<Item = String>, next: Option<&str>) -> Reply {
    let member = |name| format!("<member><AutoScalingGroupName>{name}</AutoScalingGroupName></member>");
    let members = names.into_iter().map(member).collect::<Vec<_>>().concat();
    let next = next.map(|next| format!("<NextToken>{next}</NextToken>")).unwrap_or_default();
    answer("DescribeAutoScalingGroups", &format!("<AutoScalingGroups>{members}</AutoScalingGroups>{next}"))
}

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    xml(status, &format!("<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"))
}

fn names(seen: &Sighting<Vec<AccountGroup>>) -> Vec<&str> {
    seen.value().expect("it was seen").iter().map(|group| group.name.as_str()).collect()
}

fn time(text: &str) -> Timestamp {
    text.parse().expect(text)
}

#[tokio::test]
async fn three_hundred_groups_come_in_three_pages() {
    let (account, server) = served(|nth, seen| {
        assert!(seen.body.contains("MaxRecords=100"), "{}", seen.body);
        assert!(nth == 0 || seen.body.contains(&format!("NextToken=page-{nth}")), "{}", seen.body);
        let next = format!("page-{}", nth + 1);
        groups((0..100).map(|number| format!("group-{}", nth * 100 + number)), (nth < 2).then_some(next.as_str()))
    })
    .await;
    let seen = account.discover(None).await;
    assert_eq!((names(&seen).len(), names(&seen)[299], server.seen().len()), (300, "group-299", 3));
}

#[tokio::test]
async fn discovery_asks_for_the_tags_that_the_autoscaler_asks_for() {
    let (account, server) = served(|_, _| groups([], None)).await;
    account.discover(Some("prod")).await;
    account.discover(None).await;
    let [both, one]: [Seen; 2] = server.seen().try_into().expect("two requests");
    let enabled = "Filters.member.1.Name=tag-key&Filters.member.1.Values.member.1=k8s.io%2Fcluster-autoscaler%2Fenabled";
    assert!(one.body.contains(enabled) && !one.body.contains("Filters.member.2"), "{}", one.body);
    let cluster = "Filters.member.2.Name=tag-key&Filters.member.2.Values.member.1=k8s.io%2Fcluster-autoscaler%2Fprod";
    assert!(both.body.contains(enabled) && both.body.contains(cluster), "{}", both.body);
}

#[tokio::test]
async fn names_that_are_no_group_are_looked_for_among_managed_node_groups() {
    let (account, server) = served(|_, seen| {
        if seen.body.contains("AutoScalingGroupNames") {
            return groups(["flows-small".to_owned()], None);
        }
        groups(["eks-flows-xlarge-1".to_owned()], None)
    })
    .await;
    let seen = account.groups(&["flows-xlarge".into(), "flows-small".into(), "flows-small".into()]).await;
    assert_eq!(names(&seen), ["flows-small", "eks-flows-xlarge-1"]);
    let [named, tagged]: [Seen; 2] = server.seen().try_into().expect("two requests");
    assert!(named.body.contains("AutoScalingGroupNames.member.2=flows-xlarge") && !named.body.contains("member.3"), "{}", named.body);
    let tag = "Filters.member.1.Name=tag%3Aeks%3Anodegroup-name&Filters.member.1.Values.member.1=flows-xlarge&Filters.member.2.Name=tag%3Aeks%3Acluster-name&Filters.member.2.Values.member.1=prod";
    assert!(tagged.body.contains(tag), "{}", tagged.body);
    account.groups(&[]).await;
    assert_eq!(server.seen().len(), 2, "no names are no question");
}

#[tokio::test]
async fn a_group_is_read_whole() {
    let group = r"<AutoScalingGroups><member>
        <AutoScalingGroupName>flows-xlarge</AutoScalingGroupName><MinSize>0</MinSize><MaxSize>5</MaxSize><DesiredCapacity>1</DesiredCapacity>
        <DesiredCapacityType>vcpu</DesiredCapacityType><CapacityRebalance>true</CapacityRebalance>
        <AvailabilityZones><member>eu-west-1a</member><member>eu-west-1b</member></AvailabilityZones>
        <Instances><member><InstanceId>i-0a</InstanceId><InstanceType>r7i.4xlarge</InstanceType><AvailabilityZone>eu-west-1b</AvailabilityZone>
          <LifecycleState>Pending:Wait</LifecycleState><HealthStatus>Healthy</HealthStatus><ProtectedFromScaleIn>false</ProtectedFromScaleIn></member></Instances>
        <SuspendedProcesses><member><ProcessName>AZRebalance</ProcessName><SuspensionReason>User suspended at 2026-11-24T10:00:00Z</SuspensionReason></member></SuspendedProcesses>
        <Tags><member><ResourceId>flows-xlarge</ResourceId><ResourceType>auto-scaling-group</ResourceType><Key>k8s.io/cluster-autoscaler/enabled</Key><Value>true</Value><PropagateAtLaunch>true</PropagateAtLaunch></member></Tags>
        <MixedInstancesPolicy><LaunchTemplate><LaunchTemplateSpecification><LaunchTemplateId>lt-0</LaunchTemplateId></LaunchTemplateSpecification>
          <Overrides><member><InstanceType>r7i.4xlarge</InstanceType><WeightedCapacity>2</WeightedCapacity></member><member><InstanceType>r6i.4xlarge</InstanceType></member></Overrides></LaunchTemplate>
          <InstancesDistribution><OnDemandPercentageAboveBaseCapacity>0</OnDemandPercentageAboveBaseCapacity></InstancesDistribution></MixedInstancesPolicy>
        <SomethingNew>of next year</SomethingNew>
      </member><member><MinSize>1</MinSize></member></AutoScalingGroups>";
    let (account, _server) = served(move |_, _| answer("DescribeAutoScalingGroups", group)).await;
    let seen = account.groups(&["flows-xlarge".into()]).await;
    let expected = AccountGroup {
        name: "flows-xlarge".into(),
        max_size: 5,
        desired_size: 1,
        desired_unit: Some("vcpu".into()),
        instances: vec![Instance {
            id: "i-0a".into(),
            instance_type: Some("r7i.4xlarge".into()),
            zone: "eu-west-1b".into(),
            lifecycle: "Pending:Wait".into(),
            healthy: true,
        }],
        zones: vec!["eu-west-1a".into(), "eu-west-1b".into()],
        suspended: vec![SuspendedProcess { name: "AZRebalance".into(), reason: "User suspended at 2026-11-24T10:00:00Z".into() }],
        tags: [(autoscaler_tags::ENABLED.to_owned(), "true".to_owned())].into(),
        instance_types: vec![("r7i.4xlarge".into(), Some("2".into())), ("r6i.4xlarge".into(), None)],
        spot: Some(true),
        capacity_rebalance: true,
        ..AccountGroup::default()
    };
    assert_eq!(seen.value(), Some(&vec![expected]));
}

fn activity(id: &str, status: &str, started: &str, ended: Option<&str>) -> String {
    let ended = ended.map(|ended| format!("<EndTime>{ended}</EndTime>")).unwrap_or_default();
    format!(
        "<member><ActivityId>{id}</ActivityId><AutoScalingGroupName>g</AutoScalingGroupName><StatusCode>{status}</StatusCode>\
         <Description>Launching a new EC2 instance.  Status Reason: none left</Description>\
         <StatusMessage>InsufficientInstanceCapacity - none left</StatusMessage><Cause>because</Cause><StartTime>{started}</StartTime>{ended}\
         <Details>{{\"Subnet ID\":\"s\",\"Availability Zone\":\"eu-west-1b\"}}</Details></member>"
    )
}

#[tokio::test]
async fn activities_are_read_back_to_a_time_and_no_further() {
    let (account, server) = served(|nth, seen| {
        assert!(seen.body.contains("AutoScalingGroupName=g"), "{}", seen.body);
        let pages = [
            [
                activity("running", "PreInService", "2026-11-01T00:00:00Z", None),
                activity("new", "Failed", "2026-11-24T10:00:00.500Z", Some("2026-11-24T10:00:01Z")),
            ],
            [
                activity("older", "Successful", "2026-11-24T09:00:00Z", Some("2026-11-24T09:01:00Z")),
                activity("old", "Failed", "2026-11-23T09:00:00Z", Some("2026-11-23T09:01:00Z")),
            ],
        ];
        answer("DescribeScalingActivities", &format!("<Activities>{}</Activities><NextToken>further</NextToken>", pages[nth].concat()))
    })
    .await;
    let activities = account.activities("g", time("2026-11-24T00:00:00Z")).await.expect("the server answers");
    assert_eq!(activities.iter().map(|activity| activity.id.as_str()).collect::<Vec<_>>(), ["running", "new", "older"]);
    assert_eq!(server.seen().len(), 2);
    let expected = ScalingActivity {
        id: "new".into(),
        started: Some(time("2026-11-24T10:00:00.5Z")),
        ended: Some(time("2026-11-24T10:00:01Z")),
        status: "Failed".into(),
        description: "Launching a new EC2 instance.  Status Reason: none left".into(),
        cause: "because".into(),
        message: Some("InsufficientInstanceCapacity - none left".into()),
        zone: Some("eu-west-1b".into()),
    };
    assert_eq!(activities[1], expected);
    assert_eq!(activities[1].failure(), Some(LaunchFailure::Capacity { spot: false }));
}

#[tokio::test]
async fn groups_are_seen_without_activities_where_those_are_denied() {
    let denied = "User: arn:aws:sts::1:assumed-role/dev/ana is not authorized to perform: autoscaling:DescribeScalingActivities because no identity-based policy allows the autoscaling:DescribeScalingActivities action";
    let (account, _server) = served(move |_, seen| {
        if seen.body.contains("Action=DescribeScalingActivities") {
            refusal(403, "AccessDenied", denied)
        } else {
            groups(["a".into(), "b".into()], None)
        }
    })
    .await;
    let (seen, unknown) = account.observe(&["a".into(), "b".into()], time("2026-11-24T00:00:00Z")).await;
    assert_eq!(names(&seen), ["a", "b"]);
    assert!(seen.value().expect("it was seen").iter().all(|group| group.activities.is_none()));
    assert_eq!(
        unknown,
        ["arn:aws:sts::1:assumed-role/dev/ana may not `autoscaling:DescribeScalingActivities` in AWS; \
          `sbrun setup iam-users` prints the policy that allows it"]
    );
}

/// What goes wrong, the kind of error, and its sentence.
#[tokio::test]
async fn every_refusal_is_one_sentence() {
    let table = [
        (
            refusal(403, "AccessDenied", "User: arn:aws:iam::1:user/ana is not authorized to perform: autoscaling:DescribeAutoScalingGroups"),
            ErrorKind::NotAllowed,
            "arn:aws:iam::1:user/ana may not `autoscaling:DescribeAutoScalingGroups` in AWS; \
             `sbrun setup iam-users` prints the policy that allows it",
        ),
        (
            refusal(403, "ExpiredToken", "The security token included in the request is expired"),
            ErrorKind::NotAllowed,
            "the node groups cannot be looked up in AWS: the AWS credentials have ended; log in again: `aws sso login --profile dev`",
        ),
        (
            refusal(403, "InvalidClientTokenId", "The security token included in the request is invalid."),
            ErrorKind::NotAllowed,
            "the node groups cannot be looked up in AWS: AWS does not accept the credentials; \
             `aws sts get-caller-identity --profile dev` shows whose they are; is region `eu-west-1` enabled, and the clock right?",
        ),
        (
            refusal(400, "Throttling", "Rate exceeded"),
            ErrorKind::Unreachable,
            "AWS asks for fewer requests (Throttling); others in the account ask as well; try again later",
        ),
        (
            refusal(400, "ValidationError", "1 validation error detected"),
            ErrorKind::Unreachable,
            "AWS Auto Scaling in region `eu-west-1` refused `DescribeAutoScalingGroups`: ValidationError",
        ),
        (
            xml(200, "<html>log in here</html>"),
            ErrorKind::Unreachable,
            "the answer of AWS Auto Scaling in region `eu-west-1` is none that it gives; is there a proxy or a login page in between, \
             or another address in `AWS_ENDPOINT_URL`?",
        ),
        (
            Reply::Stall,
            ErrorKind::Unreachable,
            "AWS Auto Scaling in region `eu-west-1` did not answer in time; is the network slow, or a proxy in between? \
             see `HTTPS_PROXY` and `NO_PROXY`",
        ),
    ];
    for (reply, kind, expected) in table {
        let reply = Mutex::new(Some(reply));
        let again = |reply: &Reply| match reply {
            Reply::Answer(status, headers, body) => Reply::Answer(*status, headers, body.clone()),
            _ => Reply::Stall,
        };
        let server = Server::start(move |_, _| again(reply.lock().expect("no panic").as_ref().expect("it stays there"))).await;
        let account = account(loader(&server.url), QUICK).await;
        let error = account.describe(&["a".into()]).await.expect_err(expected);
        assert_eq!((error.kind(), sentence(&error).as_str()), (kind, expected));
    }
}

#[tokio::test]
async fn throttling_is_tried_again() {
    let (account, server) = served(|nth, _| if nth == 0 { refusal(400, "Throttling", "Rate exceeded") } else { groups(["a".into()], None) }).await;
    assert_eq!(names(&account.groups(&["a".into()]).await), ["a"]);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_group_that_is_not_there_has_no_activities() {
    let missing = "AutoScalingGroup name not found - AutoScalingGroup g not found";
    let (account, _server) = served(move |_, _| refusal(400, "ValidationError", missing)).await;
    let error = account.activities("g", time("2026-11-24T00:00:00Z")).await.expect_err("there is no such group");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Failed, "AWS has no such Auto Scaling group in region `eu-west-1`"));
    assert_eq!(error.causes(), [missing]);
}

/// What the configuration comes to, its sentence and its cause.
#[tokio::test]
async fn credentials_that_do_not_come_are_told_apart_and_not_waited_for_twice() {
    type Row<'a> = (fn() -> CredentialsError, &'a str, &'a [&'a str]);
    let table: [Row<'_>; 4] = [
        (
            CredentialsError::not_loaded_no_source,
            "the node groups cannot be looked up in AWS: there are no AWS credentials; \
             log in with `aws sso login --profile dev`, or choose another profile with AWS_PROFILE",
            &[],
        ),
        (
            || CredentialsError::provider_timed_out(Duration::from_secs(5)),
            "the node groups cannot be looked up in AWS: no AWS credentials came in time; \
             log in with `aws sso login --profile dev`, or choose another profile with AWS_PROFILE",
            &[],
        ),
        (
            || CredentialsError::invalid_configuration("profile `dev` is not there"),
            "the node groups cannot be looked up in AWS: the AWS configuration cannot be used; `aws configure list` shows it",
            &["profile `dev` is not there"],
        ),
        (
            || CredentialsError::provider_error("the SSO session has expired"),
            "the node groups cannot be looked up in AWS: the AWS credentials cannot be used: they may have ended; \
             log in with `aws sso login --profile dev`, or choose another profile with AWS_PROFILE",
            &["the SSO session has expired"],
        ),
    ];
    for (error, expected, causes) in table {
        let asked = Arc::new(Mutex::new(0));
        let count = asked.clone();
        let provider = provide_credentials_fn(move || {
            *count.lock().expect("no panic") += 1;
            async move { Err(error()) }
        });
        let account = account(loader("http://127.0.0.1:9").credentials_provider(provider), QUICK).await;
        for _ in 0..3 {
            let error = account.describe(&["a".into()]).await.expect_err(expected);
            assert_eq!((error.kind(), sentence(&error).as_str()), (ErrorKind::NotAllowed, expected));
            assert_eq!(error.causes(), causes);
        }
        assert_eq!(*asked.lock().expect("no panic"), 1);
    }
}

#[tokio::test]
async fn an_account_that_is_far_away_is_left_alone_for_a_while() {
    let account = account(loader("http://127.0.0.1:9"), Limits { closed: Duration::from_millis(50), ..QUICK }).await;
    let expected = "AWS Auto Scaling in region `eu-west-1` cannot be reached: connection refused; \
                    the region is the instance map's; is it right, and is there a way to AWS from here?";
    assert_eq!(account.groups(&["a".into()]).await.obstacle(), Some(expected));
    assert_eq!(account.closed().map(|closed| sentence(&closed.into())).as_deref(), Some(expected));
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(account.closed().is_none());
}

#[tokio::test]
async fn no_region_is_a_sentence_of_its_own() {
    let account = Account::with_limits(None, None, None, QUICK);
    let client = Client::from_conf(aws_sdk_autoscaling::Config::builder().behavior_version(BehaviorVersion::latest()).build());
    account.shared.connected.set(Connected { client, region: None }).expect("nobody has connected it yet");
    let expected = "the node groups cannot be looked up in AWS: no region is known; set `region` under `cluster` in the instance map, or AWS_REGION";
    assert_eq!(account.discover(None).await.obstacle(), Some(expected));
}

/// Two libraries that each choose a crypto provider for the process would panic here.
#[tokio::test]
async fn encryption_works_beside_that_of_the_cluster() {
    let config = kube::Config::new("https://127.0.0.1:9".parse().expect("an address"));
    let cluster = kube::Client::try_from(config).expect("a client");
    assert!(cluster.apiserver_version().await.is_err());
    let account = account(loader("https://127.0.0.1:9"), QUICK).await;
    let seen = account.groups(&["a".into()]).await;
    assert!(seen.obstacle().is_some_and(|why| why.contains("connection refused")), "{seen:?}");
}
