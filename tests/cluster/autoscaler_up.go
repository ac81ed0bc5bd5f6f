package main

import (
	"fmt"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// scaleUp grows one group for the pods that wait, or tells each why none can grow. isNew says that it
// waits for more pods to come.
func (a *autoscaler) scaleUp(seen *snapshot, waiting []*v1.Pod, free *room) (scaled, isNew bool, err error) {
	if len(waiting) == 0 {
		return false, false, nil
	}
	if ready := countReady(seen.nodes); a.maxNodesTotal > 0 && ready >= a.maxNodesTotal {
		a.logEvent(v1.EventTypeWarning, "MaxNodesTotalReached", "Max total nodes in cluster reached: %v", a.maxNodesTotal)
		for _, pod := range waiting {
			a.tellUnhelped(pod, "max total nodes in cluster reached")
		}
		return false, false, nil
	}
	if a.areAllNew(waiting, seen.now) {
		return false, true, nil
	}
	skipped, valid := make(map[string]string), []*cachedGroup{}
	for name, group := range a.groups.all {
		switch {
		case !a.state.isGroupHealthy(name):
			skipped[name] = "not ready for scale-up"
		case a.state.backoffOf(name, seen.now) != nil:
			skipped[name] = "in backoff after failed scale-up"
		case group.target >= group.Max:
			skipped[name] = "max node group size reached"
		default:
			valid = append(valid, group)
		}
	}
	var best *option
	for _, group := range valid {
		if found := estimate(group, waiting); found.nodes > 0 && (best == nil || found.waste < best.waste) {
			best = &found
		}
	}
	if best == nil {
		for _, pod := range waiting {
			a.tellUnhelped(pod, reasons(pod, skipped, valid))
		}
		return false, false, nil
	}
	if a.maxNodesTotal > 0 {
		best.nodes = min(best.nodes, a.maxNodesTotal-len(free.nodes))
		if best.nodes <= 0 {
			for _, pod := range waiting {
				a.tellUnhelped(pod, "max total nodes in cluster reached")
			}
			return false, false, nil
		}
	}
	return true, false, a.grow(best, seen.now)
}

func (a *autoscaler) grow(best *option, now time.Time) error {
	group := best.group
	from, to := group.target, group.target+best.nodes
	a.logEvent(v1.EventTypeNormal, "ScaledUpGroup", "Scale-up: setting group %s size to %d instead of %d (max: %d)", group.Name, to, from, group.Max)
	if err := a.groups.setSize(group, to); err != nil {
		a.logEvent(v1.EventTypeWarning, "FailedToScaleUpGroup", "Scale-up failed for group %s: %v", group.Name, err)
		err = fmt.Errorf("failed to increase node group size: %w", err)
		a.state.backOff(group.Name, backoffInfo{"cloudProviderError", err.Error()}, now)
		return err
	}
	a.state.register(group.Name, best.nodes, time.Now())
	a.state.updateTarget(group)
	a.lastScaleUp[group.Name], a.lastScaleUp[""] = now, now
	a.logEvent(v1.EventTypeNormal, "ScaledUpGroup", "Scale-up: group %s size set to %d instead of %d (max: %d)", group.Name, to, from, group.Max)
	for _, pod := range best.pods {
		a.recorder.Eventf(pod, v1.EventTypeNormal, "TriggeredScaleUp", "pod triggered scale-up: [{%s %d->%d (max: %d)}]", group.Name, from, to, group.Max)
	}
	return nil
}

func (a *autoscaler) tellUnhelped(pod *v1.Pod, why string) {
	a.recorder.Event(pod, v1.EventTypeNormal, "NotTriggerScaleUp", "pod didn't trigger scale-up: "+why)
}

// reasons counts why no group grows for a pod, in Go's order of maps, as the real one.
func reasons(pod *v1.Pod, skipped map[string]string, valid []*cachedGroup) string {
	counts := make(map[string]int)
	for _, reason := range skipped {
		counts[reason]++
	}
	for _, group := range valid {
		for _, reason := range misfits(pod, nodeInfo(group.template)) {
			counts[reason]++
		}
	}
	var parts []string
	for reason, count := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", count, reason))
	}
	return strings.Join(parts, ", ")
}

// areAllNew says whether all pods became unschedulable just now: more may come.
func (a *autoscaler) areAllNew(pods []*v1.Pod, now time.Time) bool {
	for _, pod := range pods {
		for _, c := range pod.Status.Conditions {
			if c.Type == v1.PodScheduled && !c.LastTransitionTime.Add(a.youngPods).After(now) {
				return false
			}
		}
	}
	return true
}

func countReady(nodes []*v1.Node) int {
	count := 0
	for _, node := range nodes {
		if isReady(node) {
			count++
		}
	}
	return count
}
