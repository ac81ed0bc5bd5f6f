package main

import (
	"fmt"
	"sort"

	v1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/helper"
	affinity "k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeaffinity"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/noderesources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeunschedulable"
)

// misfits says why a pod cannot run on a node, in the scheduler's words and in its order: the first check
// that fails is the answer. Nothing if it can.
func misfits(pod *v1.Pod, node *framework.NodeInfo) []string {
	if node.Node().Spec.Unschedulable {
		return []string{nodeunschedulable.ErrReasonUnschedulable}
	}
	if _, is := corev1helpers.FindMatchingUntoleratedTaint(klog.Background(), node.Node().Spec.Taints, pod.Spec.Tolerations, helper.DoNotScheduleTaintsFilterFunc(), false); is {
		return []string{"node(s) had untolerated taint(s)"}
	}
	if match, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node.Node()); err != nil || !match {
		return []string{affinity.ErrReasonPod}
	}
	var reasons []string
	for _, resource := range noderesources.Fits(pod, node, nil, noderesources.ResourceRequestsOptions{EnablePodLevelResources: true}) {
		reasons = append(reasons, resource.Reason)
	}
	return reasons
}

func nodeInfo(node *v1.Node, pods ...*v1.Pod) *framework.NodeInfo {
	info := framework.NewNodeInfo(pods...)
	info.SetNode(node)
	return info
}

// room is where pods are and could go: nodes that are there, and those that are still to come.
type room struct {
	nodes []*framework.NodeInfo
}

// newRoom has ready nodes with their pods, and for each upcoming one its group's template. A node that is
// not ready yet is upcoming.
func (a *autoscaler) newRoom(seen *snapshot) *room {
	pods := make(map[string][]*v1.Pod)
	for _, pod := range seen.pods {
		if pod.Spec.NodeName != "" && !isOver(pod) {
			pods[pod.Spec.NodeName] = append(pods[pod.Spec.NodeName], pod)
		}
	}
	r := &room{}
	for _, node := range seen.nodes {
		if isReady(node) {
			r.nodes = append(r.nodes, nodeInfo(node, pods[node.Name]...))
		}
	}
	for name, group := range a.groups.all {
		if a.state.requests[name] == nil || a.state.backoffOf(name, seen.now) != nil {
			continue
		}
		for i := range max(a.state.upcoming(name), 0) {
			node := group.template.DeepCopy()
			node.Name = fmt.Sprintf("%s-upcoming-%d", name, i)
			r.nodes = append(r.nodes, nodeInfo(node))
		}
	}
	return r
}

func isOver(pod *v1.Pod) bool {
	return pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed
}

// isUnschedulable says whether the scheduler tried a pod and found no place.
func isUnschedulable(pod *v1.Pod) bool {
	if pod.Spec.NodeName != "" || isOver(pod) || pod.DeletionTimestamp != nil {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == v1.PodScheduled && c.Status == v1.ConditionFalse && c.Reason == v1.PodReasonUnschedulable {
			return pod.Spec.Priority == nil || *pod.Spec.Priority >= -10 // lower ones are expendable
		}
	}
	return false
}

// placeWaiting gives unschedulable pods the room there is and returns those without. Of the others nothing is said.
func (r *room) placeWaiting(pods []*v1.Pod) []*v1.Pod {
	var left []*v1.Pod
	for _, pod := range pods {
		if isUnschedulable(pod) && !r.place(pod) {
			left = append(left, pod)
		}
	}
	return left
}

func (r *room) place(pod *v1.Pod) bool {
	for _, node := range r.nodes {
		if len(misfits(pod, node)) == 0 {
			node.AddPod(pod)
			return true
		}
	}
	return false
}

// option is what growing one group would do.
type option struct {
	group *cachedGroup
	nodes int
	pods  []*v1.Pod
	waste float64
}

// estimate packs pods onto new nodes of a group, the largest first, up to the group's maximum.
func estimate(group *cachedGroup, pods []*v1.Pod) option {
	share := func(pod *v1.Pod) float64 {
		info := nodeInfo(group.template, pod)
		return float64(info.Requested.MilliCPU)/float64(max(info.Allocatable.MilliCPU, 1)) + float64(info.Requested.Memory)/float64(max(info.Allocatable.Memory, 1))
	}
	sorted := append([]*v1.Pod(nil), pods...)
	sort.SliceStable(sorted, func(i, j int) bool { return share(sorted[i]) > share(sorted[j]) })
	packed, result := &room{}, option{group: group}
	for _, pod := range sorted {
		if packed.place(pod) {
			result.pods = append(result.pods, pod)
			continue
		}
		if len(packed.nodes) >= group.Max-group.target || len(misfits(pod, nodeInfo(group.template))) > 0 {
			continue
		}
		packed.nodes = append(packed.nodes, nodeInfo(group.template, pod))
		result.pods = append(result.pods, pod)
	}
	result.nodes = len(packed.nodes)
	capacity := nodeInfo(group.template)
	var cpu, memory int64
	for _, node := range packed.nodes {
		cpu, memory = cpu+node.Requested.MilliCPU, memory+node.Requested.Memory
	}
	if result.nodes > 0 {
		count := float64(result.nodes)
		result.waste = 2 - float64(cpu)/(count*float64(capacity.Allocatable.MilliCPU)) - float64(memory)/(count*float64(capacity.Allocatable.Memory))
	}
	return result
}
