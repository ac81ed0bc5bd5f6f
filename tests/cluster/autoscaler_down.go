package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

// scaleDown removes nodes that have been idle for long enough: a soft taint as long as they are idle, then
// a hard one and a cordon, then, if still idle, their instance is terminated.
type scaleDown struct {
	autoscaler *autoscaler
	unneeded   map[string]time.Time // node -> idle since

	mu       sync.Mutex
	deleting map[string]bool
}

// run is one loop's part. In a cool-down it only marks.
func (d *scaleDown) run(seen *snapshot, room *room, isCooling bool) {
	a := d.autoscaler
	unneeded := make(map[string]time.Time)
	a.state.candidates = make(map[string]int)
	for _, info := range room.nodes {
		node := info.Node()
		group := a.groups.ofNode(node)
		if group == nil || d.isDeleting(node.Name) || hasTaint(node, toBeDeleted) || !d.isIdle(node, len(info.Pods)) {
			continue
		}
		since, known := d.unneeded[node.Name]
		if !known {
			since = seen.now
		}
		unneeded[node.Name] = since
		a.state.candidates[group.Name]++
	}
	d.unneeded, a.state.scaleDownProbed = unneeded, seen.now
	if !isCooling {
		for _, info := range room.nodes {
			node := info.Node()
			if since, idle := unneeded[node.Name]; idle && d.mayDelete(node, since, seen.now) {
				d.start(node)
			}
		}
	}
	for _, node := range seen.nodes {
		_, idle := d.unneeded[node.Name]
		if a.groups.ofNode(node) == nil || hasTaint(node, toBeDeleted) || d.isDeleting(node.Name) || idle == hasTaint(node, deletionCandidate) {
			continue
		}
		var taints []v1.Taint
		if idle {
			taints = []v1.Taint{{Key: deletionCandidate, Value: strconv.FormatInt(time.Now().Unix(), 10), Effect: v1.TaintEffectPreferNoSchedule}}
		}
		d.taint(node.Name, false, taints, deletionCandidate)
	}
}

// isIdle says whether a node has nothing that keeps it: no pod, nor one that was placed there in thought.
func (d *scaleDown) isIdle(node *v1.Node, pods int) bool {
	return pods == 0 && node.Annotations["cluster-autoscaler.kubernetes.io/scale-down-disabled"] != "true"
}

func (d *scaleDown) isDeleting(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.deleting[name]
}

func (d *scaleDown) mayDelete(node *v1.Node, since, now time.Time) bool {
	a := d.autoscaler
	group := a.groups.ofNode(node)
	added := a.lastScaleUp[""]
	if a.delayTypeLocal {
		added = a.lastScaleUp[group.Name]
	}
	return !since.Add(a.unneededTime).After(now) && !added.Add(a.delayAfterAdd).After(now) && group.target > group.Min
}

// start marks a node and deletes it a little later.
func (d *scaleDown) start(node *v1.Node) {
	a := d.autoscaler
	taint := v1.Taint{Key: toBeDeleted, Value: strconv.FormatInt(time.Now().Unix(), 10), Effect: v1.TaintEffectNoSchedule}
	if err := d.taint(node.Name, true, []v1.Taint{taint}); err != nil {
		a.recorder.Eventf(node, v1.EventTypeWarning, "ScaleDownFailed", "failed to mark the node as toBeDeleted/unschedulable: %v", err)
		return
	}
	a.recorder.Event(node, v1.EventTypeNormal, "ScaleDown", "marked the node as toBeDeleted/unschedulable")
	a.logEvent(v1.EventTypeNormal, "ScaleDownEmpty", "Scale-down: removing empty node %q", node.Name)
	d.mu.Lock()
	d.deleting[node.Name] = true
	d.mu.Unlock()
	group := a.groups.ofNode(node)
	delete(d.unneeded, node.Name)
	a.state.candidates[group.Name]--
	go func() {
		time.Sleep(a.deleteDelay)
		d.finish(node, group)
		d.mu.Lock()
		delete(d.deleting, node.Name)
		d.mu.Unlock()
	}()
}

func (d *scaleDown) finish(node *v1.Node, group *cachedGroup) {
	a := d.autoscaler
	a.mu.Lock()
	defer a.mu.Unlock()
	pods, err := a.client.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{FieldSelector: "spec.nodeName=" + node.Name})
	if err == nil {
		for i := range pods.Items {
			if !isOver(&pods.Items[i]) {
				err = fmt.Errorf("failed to delete empty node %q, new pods scheduled", node.Name)
			}
		}
	}
	if err == nil {
		err = a.groups.deleteInstances(group, node.Spec.ProviderID)
	}
	if err != nil {
		_ = d.taint(node.Name, false, nil, toBeDeleted)
		a.recorder.Eventf(node, v1.EventTypeWarning, "ScaleDownFailed", "failed to delete empty node: %v", err)
		return
	}
	a.recorder.Event(node, v1.EventTypeNormal, "ScaleDown", "nodes removed by cluster autoscaler")
	a.logEvent(v1.EventTypeNormal, "ScaleDownEmpty", "Scale-down: empty node %s removed", node.Name)
}

// cleanUp takes away what an autoscaler that died left.
func (d *scaleDown) cleanUp() {
	a := d.autoscaler
	nodes, err := a.client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return
	}
	for i := range nodes.Items {
		node := &nodes.Items[i]
		if !hasTaint(node, toBeDeleted) {
			continue
		}
		if err := d.taint(node.Name, false, nil, toBeDeleted); err == nil {
			a.recorder.Eventf(node, v1.EventTypeNormal, "ClusterAutoscalerCleanup", "removed %v taint from node %v", toBeDeleted, node.Name)
		}
	}
}

// taint takes taints from a node, adds others, and cordons it or not.
func (d *scaleDown) taint(name string, cordon bool, add []v1.Taint, remove ...string) error {
	nodes := d.autoscaler.client.CoreV1().Nodes()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		node, err := nodes.Get(context.Background(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		kept := add
		for _, taint := range node.Spec.Taints {
			isRemoved := false
			for _, key := range remove {
				isRemoved = isRemoved || taint.Key == key
				if taint.Key == toBeDeleted && key == toBeDeleted {
					node.Spec.Unschedulable = false
				}
			}
			if !isRemoved {
				kept = append(kept, taint)
			}
		}
		node.Spec.Taints = kept
		node.Spec.Unschedulable = node.Spec.Unschedulable || cordon
		_, err = nodes.Update(context.Background(), node, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "taint %s: %v\n", name, err)
	}
	return err
}
