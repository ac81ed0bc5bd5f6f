//! The admission policy that keeps the rules for every Job of the namespace, whoever creates it.
//!
//! All that is wrong with a Job is said at once, so the rules are lists of problems and the one validation is that there are none:
//! of several failed validations the API server tells only the first. Only what CEL has had since 1.30 is used.

use serde_json::{Value, json};

use super::object;
use crate::{
    kubernetes::labels,
    model::setup::{PlacementRule, Setup},
};

const ADMISSION: &str = "admissionregistration.k8s.io/v1";
/// How many sizes a refusal lists at most: the API server shows no message over 5 KiB.
const LISTED: usize = 20;

/// Returns policy and binding.
pub(super) fn manifests(setup: &Setup) -> Vec<Value> {
    let name = format!("{}-{}", labels::SBRUN, setup.namespace);
    let actions: &[&str] = if setup.warn_only { &["Warn", "Audit"] } else { &["Deny"] };
    vec![
        object(ADMISSION, "ValidatingAdmissionPolicy", None, &name, json!({"spec": spec(setup)})),
        object(
            ADMISSION,
            "ValidatingAdmissionPolicyBinding",
            None,
            &name,
            json!({"spec": {
                "policyName": name,
                "validationActions": actions,
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": setup.namespace}}},
            }}),
        ),
    ]
}

fn spec(setup: &Setup) -> Value {
    let variable = |(name, expression): (&str, String)| json!({"name": name, "expression": expression});
    let variables = [
        ("pod", "object.spec.template.spec".to_owned()),
        ("annotations", "object.spec.template.?metadata.?annotations.orValue({})".to_owned()),
        ("failureRules", "object.spec.?podFailurePolicy.?rules.orValue([])".to_owned()),
        ("nodeSelector", NODE_SELECTOR.to_owned()),
        ("tolerations", TOLERATIONS.to_owned()),
        ("restarts", rule(RESTARTS, "a flow is never restarted by Kubernetes: set `restartPolicy: Never`, and none in its containers")),
        ("retries", rule(RETRIES, RETRIES_WORDS)),
        ("evictions", rule(&evictions(), &evictions_words())),
        ("placement", placement(&setup.placements)),
        ("nodeName", rule("!has(variables.pod.nodeName)", "the scheduler finds the node: leave `nodeName` out")),
        ("problems", "variables.restarts + variables.retries + variables.evictions + variables.placement + variables.nodeName".to_owned()),
    ];
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [
            {"apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["jobs"], "operations": ["CREATE", "UPDATE"]},
        ]},
        // What Kubernetes and sbrun change of a Job later on is not looked at again, nor are Jobs that were there before the policy.
        "matchConditions": [{"name": "something-ruled-is-new", "expression": MATCH}],
        "variables": variables.map(variable),
        "validations": [{
            "expression": "variables.problems.size() == 0",
            "messageExpression": "variables.problems.join('; ')",
            "message": "the Job breaks a rule of this namespace: `sbrun setup policy` shows them all",
        }],
    })
}

const MATCH: &str = "request.operation == 'CREATE' ||
object.spec.template != oldObject.spec.template ||
object.spec.?backoffLimit.orValue(6) != oldObject.spec.?backoffLimit.orValue(6)";

/// The node selector as texts `key=value`.
const NODE_SELECTOR: &str = "variables.pod.?nodeSelector.orValue({}).map(key, key + '=' + variables.pod.nodeSelector[key])";

/// The tolerations in the words of [`crate::model::setup::toleration_words`].
const TOLERATIONS: &str = "variables.pod.?tolerations.orValue([]).map(t,
  t.?key.orValue('') +
  (t.?operator.orValue('Equal') == 'Exists' ? '' :
    (t.?operator.orValue('Equal') == 'Equal' ? '=' : ' ' + t.operator + ' ') + t.?value.orValue('')) +
  (t.?effect.orValue('') == '' ? '' : ':' + t.effect))";

const RESTARTS: &str = "variables.pod.restartPolicy == 'Never' &&
variables.pod.containers.all(c, !has(c.restartPolicy))";

/// Without retries nothing may ignore failures, and with them only disruptions count: a flow that failed by itself ends its Job.
const RETRIES: &str = "!has(object.spec.backoffLimitPerIndex) &&
variables.failureRules.all(r, r.action == 'FailJob' || r.action == 'Count') &&
(object.spec.?backoffLimit.orValue(6) == 0 ||
  variables.failureRules.all(r, r.action == 'FailJob' ||
    r.?onPodConditions.orValue([]).size() > 0 && r.onPodConditions.all(c, c.type == 'DisruptionTarget')) &&
  variables.failureRules.exists(r, r.action == 'FailJob' &&
    r.?onExitCodes.?operator.orValue('') == 'NotIn' && r.onExitCodes.values == [0]))";

const RETRIES_WORDS: &str = "retries have one owner, and it is not Kubernetes: set `backoffLimit: 0`, or replace only lost pods by a \
     `podFailurePolicy` that has `FailJob` for every exit code `NotIn [0]`, and `Count` for the condition `DisruptionTarget` alone";

/// The annotations that keep a running flow where it is, with their values.
const KEEPING: [(&str, &str); 2] = [(labels::SAFE_TO_EVICT, "false"), (labels::DO_NOT_DISRUPT, "true")];

fn evictions() -> String {
    let has = |(key, value): (&str, &str)| format!("variables.annotations[?{}].orValue('') == {}", literal(key), literal(value));
    KEEPING.map(has).join(" &&\n")
}

fn evictions_words() -> String {
    let both = KEEPING.map(|(key, value)| format!("`{key}: \"{value}\"`")).join(" and ");
    format!("an autoscaler must leave the node of a running flow alone: set the annotations {both} in `spec.template.metadata`")
}

/// Returns the rule that a Job goes to the machines of one size: its labels, perhaps more of them, and no toleration that is not its own.
fn placement(rules: &[PlacementRule]) -> String {
    let fits = rules.iter().map(|rule| {
        let labels = rule.labels.iter().map(|label| format!("{} in variables.nodeSelector", literal(label)));
        let tolerations = rule.tolerations.iter().map(|words| literal(words)).collect::<Vec<_>>().join(", ");
        let conditions: Vec<String> = labels.chain([format!("variables.tolerations.all(t, t in [{tolerations}])")]).collect();
        format!("({})", conditions.join(" && "))
    });
    let fits = fits.collect::<Vec<_>>().join(" ||\n");
    let words = format!("a Job runs on the machines of one size of the instance map: set `nodeSelector` and `tolerations` of {}", sizes_words(rules));
    format!(
        "{fits}\n? [] : [{} +\n  variables.nodeSelector.join(', ') + '] and tolerations [' + variables.tolerations.join(', ') + ']']",
        literal(&format!("{words}, where this one has nodeSelector ["))
    )
}

fn sizes_words(rules: &[PlacementRule]) -> String {
    let words = |rule: &PlacementRule| {
        format!("{} (nodeSelector [{}], tolerations [{}])", rule.sizes.join(" or "), rule.labels.join(", "), rule.tolerations.join(", "))
    };
    let mut listed: Vec<String> = rules.iter().take(LISTED).map(words).collect();
    if rules.len() > LISTED {
        listed.push(format!("{} more, see `sbrun sizes`", rules.len() - LISTED));
    }
    listed.join(", or of ")
}

/// Returns a list with the problem, empty when `condition` holds.
fn rule(condition: &str, problem: &str) -> String {
    format!("{condition}\n? [] : [{}]", literal(problem))
}

/// Returns a text as CEL writes it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_leave_their_quotes() {
        assert_eq!(literal(r"it's a \ b"), r"'it\'s a \\ b'");
    }
}
