package main

import (
	"regexp"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const nodeTemplate = "k8s.io/cluster-autoscaler/node-template/"

// What instance types have: vCPUs and MiB of memory.
var instanceTypes = map[string][2]int64{
	"t3.medium": {2, 4096}, "t3.large": {2, 8192},
	"m5.large": {2, 8192}, "m5.xlarge": {4, 16384}, "m5.2xlarge": {8, 32768}, "m5.4xlarge": {16, 65536},
	"c5.large": {2, 4096}, "c5.xlarge": {4, 8192}, "c5.2xlarge": {8, 16384}, "c5.4xlarge": {16, 32768},
	"r5.large": {2, 16384}, "r5.xlarge": {4, 32768}, "r5.2xlarge": {8, 65536}, "r5.4xlarge": {16, 131072},
}

var taintValue = regexp.MustCompile(`^(.*):(NoSchedule|NoExecute|PreferNoSchedule)$`)

// nodeOf is the node that an instance of a group gives, by the group's tags alone: as the Cluster Autoscaler
// imagines it, with all of the type's memory and no ephemeral storage unless tagged.
func nodeOf(group autoScalingGroup, name, instanceType, zone string) *v1.Node {
	size, known := instanceTypes[instanceType]
	if !known {
		size = instanceTypes["m5.xlarge"]
	}
	capacity := v1.ResourceList{
		v1.ResourceCPU:    *resource.NewQuantity(size[0], resource.DecimalSI),
		v1.ResourceMemory: *resource.NewQuantity(size[1]<<20, resource.BinarySI),
		v1.ResourcePods:   *resource.NewQuantity(110, resource.DecimalSI),
	}
	for key, value := range group.tagged(nodeTemplate + "resources/") {
		if quantity, err := resource.ParseQuantity(value); err == nil {
			capacity[v1.ResourceName(key)] = quantity
		}
	}
	node := &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			v1.LabelHostname: name, v1.LabelOSStable: "linux", v1.LabelArchStable: "amd64", v1.LabelInstanceTypeStable: instanceType,
			v1.LabelTopologyZone: zone, v1.LabelTopologyRegion: awsRegion}},
		Status: v1.NodeStatus{Capacity: capacity, Allocatable: capacity.DeepCopy(),
			Conditions: []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue}}},
	}
	for key, value := range group.tagged(nodeTemplate + "label/") {
		node.Labels[key] = value
	}
	for key, value := range group.tagged(nodeTemplate + "taint/") {
		node.Spec.Taints = append(node.Spec.Taints, parseTaint(key, value)...)
	}
	return node
}

// parseTaint reads value:effect; what is not of that form is dropped without a word.
func parseTaint(key, text string) []v1.Taint {
	parts := taintValue.FindStringSubmatch(text)
	if parts == nil {
		return nil
	}
	return []v1.Taint{{Key: key, Value: parts[1], Effect: v1.TaintEffect(parts[2])}}
}

// join makes of an instance the node that it really gives, with what the test ordered.
func join(group autoScalingGroup, i instance, order steering) *v1.Node {
	node := nodeOf(group, "ip-"+strings.TrimPrefix(i.ID, "i-")[:10], i.Type, i.Zone)
	node.Spec.ProviderID = i.providerID()
	node.Status.Conditions = nil
	if _, tagged := node.Status.Capacity[v1.ResourceEphemeralStorage]; !tagged {
		node.Status.Capacity[v1.ResourceEphemeralStorage] = resource.MustParse("100Gi")
		node.Status.Allocatable[v1.ResourceEphemeralStorage] = resource.MustParse("95Gi")
	}
	for key, value := range order.Allocatable {
		node.Status.Allocatable[v1.ResourceName(key)] = resource.MustParse(value)
	}
	capacityType := "ON_DEMAND"
	if group.isSpot() {
		capacityType = "SPOT"
	}
	node.Labels["eks.amazonaws.com/capacityType"] = capacityType
	for key, value := range order.Labels {
		node.Labels[key] = value
	}
	for key, value := range order.StartUpTaints {
		node.Spec.Taints = append(node.Spec.Taints, parseTaint(key, value)...)
	}
	return node
}
