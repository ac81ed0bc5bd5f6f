//! `sbrun init` on a cluster alone.

use serde_json::json;

use crate::common::cluster::kwok;

/// Key of the taint of the nodes.
const SIZE: &str = "sbrun.dev/size";

#[test]
fn where_the_account_is_closed_the_cluster_alone_has_to_do() {
    let cluster = kwok();
    let labels = json!({"eks.amazonaws.com/nodegroup": "init-managed", "node.kubernetes.io/instance-type": "m5.xlarge", "eks.amazonaws.com/capacityType": "SPOT"});
    let taints = json!([{"key": SIZE, "value": "managed", "effect": "NoSchedule"}]);
    cluster.node_with("init-managed-1", &labels, &taints, "3920m", "14Gi");
    let mut namespace = cluster.namespace();
    namespace.sandbox.set("AWS_EC2_METADATA_DISABLED", "true").set("AWS_REGION", "us-east-1");
    let output = namespace
        .sandbox
        .command(["init", "--group", "init-managed", "--name", "init-managed=big", "--print"])
        .exits(0)
        .says(&["no AWS credentials"]);
    let map = output.text();
    for line in [
        "  big:\n",
        "    spot: true\n",
        "# measured on node init-managed-1",
        "node_selector: {eks.amazonaws.com/nodegroup: init-managed}",
        "value: managed",
    ] {
        assert!(map.contains(line), "{line}\n{output}");
    }
    cluster.kubectl_ok(&["delete", "node", "init-managed-1"]);
}
