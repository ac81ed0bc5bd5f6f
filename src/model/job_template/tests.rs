use super::*;

const GOOD: &str = "
apiVersion: batch/v1
kind: Job
spec:
  backoffLimit: 0
  template:
    metadata:
      annotations: {cluster-autoscaler.kubernetes.io/safe-to-evict: 'false'}
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 110
      volumes: [{name: data, emptyDir: {}}]
      initContainers: [{name: proxy, image: x, restartPolicy: Always}]
      containers: []
";

#[test]
fn a_template_may_repeat_what_is_fixed() {
    let template = parse(GOOD).expect("YAML");
    assert_eq!(template.problems, Vec::<String>::new());
    assert_eq!(template.manifest.pointer("/spec/template/spec/volumes/0/name"), Some(&"data".into()));
}

#[test]
fn each_rule_is_kept() {
    for (from, to, problem) in [
        ("kind: Job", "kind: Pod", "`kind` must be `Job`, not `Pod`"),
        ("kind: Job", "kind: [Job]", "`kind` must be `Job`, not [\"Job\"]"),
        ("kind: Job\n", "", "`kind` is missing; it must be `Job`"),
        ("apiVersion: batch/v1\n", "", "`apiVersion` is missing; it must be `batch/v1`"),
        ("batch/v1", "v1", "`apiVersion` must be `batch/v1`, not `v1`"),
        ("restartPolicy: Never", "restartPolicy: OnFailure", "`spec.template.spec.restartPolicy` is \"OnFailure\", it can only be \"Never\""),
        ("backoffLimit: 0", "backoffLimit: 6", "`spec.backoffLimit` is 6, it can only be 0: one owner of retries: use `infrastructure_retries`"),
        ("backoffLimit: 0", "completions: 5", "`spec.completions` is 5, it can only be 1"),
        ("backoffLimit: 0", "podFailurePolicy: {rules: []}", "`spec.podFailurePolicy` must not be there"),
        (
            "'false'",
            "'true'",
            "`spec.template.metadata.annotations.cluster-autoscaler.kubernetes.io/safe-to-evict` is \"true\", it can only be \"false\"",
        ),
        (
            "'false'",
            "false",
            "`spec.template.metadata.annotations.cluster-autoscaler.kubernetes.io/safe-to-evict` is false, it can only be \"false\"",
        ),
        ("Seconds: 110", "Seconds: 30", "`spec.template.spec.terminationGracePeriodSeconds` is 30, less than 1m40s"),
        ("backoffLimit: 0", "backoffLimitPerIndex: 0", "`spec.backoffLimitPerIndex` must not be there: one owner of retries"),
        ("backoffLimit: 0", "maxFailedIndexes: 1", "`spec.maxFailedIndexes` must not be there: one owner of retries"),
        ("backoffLimit: 0", "manualSelector: true", "`spec.manualSelector` must not be there: "),
        ("backoffLimit: 0", "selector: {}", "`spec.selector` must not be there: "),
        ("backoffLimit: 0", "managedBy: kueue", "`spec.managedBy` must not be there: the Job controller of Kubernetes runs the job"),
        ("spec:\n  back", "spce: {}\nspec:\n  back", "`spce` is no field of a Job, which has `metadata` and `spec`"),
        ("containers: []", "containers: [{name: flow, args: [x]}]", "`args` of container `flow` must not be there: sbrun decides what"),
        (
            "containers: []",
            "containers: [{name: flow, resources: {limits: {cpu: 2}, requests: {cpu: 1}}}]",
            "`resources.requests.cpu` of container `flow` must not be there: the size decides about the footprint",
        ),
        ("restartPolicy: Never", "nodeName: a", "`spec.template.spec.nodeName` must not be there"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let problems = parse(&GOOD.replacen(from, to, 1)).expect("YAML").problems;
        assert!(problems.len() == 1 && problems[0].starts_with(problem), "{to}: {problems:?}");
    }
}

#[test]
fn what_is_no_manifest_says_so() {
    for text in ["", "[]", "just text"] {
        assert_eq!(parse(text).expect("YAML").problems, ["is not a Job manifest; it begins with `apiVersion: batch/v1` and `kind: Job`"], "{text}");
    }
    assert!(parse("a: b: c").expect_err("no YAML").contains("line 1, column 5"));
}
