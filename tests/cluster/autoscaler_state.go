package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// readiness counts the nodes of a group, or of all.
type readiness struct {
	registered, ready, notStarted, unready, deleted int
	unregistered, longUnregistered                  int
	time                                            time.Time
}

// scaleUpRequest is a growth that was asked for and has not come whole.
type scaleUpRequest struct {
	increase     int
	began, until time.Time
}

type backoff struct {
	duration time.Duration
	until    time.Time
	info     backoffInfo
}

// clusterState is what the autoscaler makes of what it sees.
type clusterState struct {
	autoscaler      *autoscaler
	readiness       map[string]readiness // of groups that have nodes or instances
	total           readiness
	unregistered    map[string]time.Time // provider id -> since
	targets         map[string]int
	requests        map[string]*scaleUpRequest
	backoffs        map[string]*backoff
	failed          map[string]bool // provider ids of placeholders that were told
	candidates      map[string]int
	scaleDownProbed time.Time
	lastStatus      clusterAutoscalerStatus
}

func newClusterState(a *autoscaler) clusterState {
	return clusterState{autoscaler: a, requests: make(map[string]*scaleUpRequest), backoffs: make(map[string]*backoff),
		failed: make(map[string]bool), lastStatus: clusterAutoscalerStatus{AutoscalerStatus: "Initializing"}}
}

func (s *clusterState) update(seen *snapshot) {
	s.count(seen)
	s.targets = make(map[string]int)
	for name, group := range s.autoscaler.groups.all {
		s.targets[name] = group.target
	}
	s.updateRequests(seen.now)
	s.noteFailures(seen.now)
}

func (s *clusterState) updateTarget(group *cachedGroup) { s.targets[group.Name] = group.target }

// count says of each node and each instance without a node what it is.
func (s *clusterState) count(seen *snapshot) {
	a := s.autoscaler
	s.readiness, s.total = make(map[string]readiness), readiness{time: seen.now}
	registered := make(map[string]bool)
	for _, node := range seen.nodes {
		registered[node.Spec.ProviderID] = true
		group := a.groups.ofNode(node)
		one := func(r readiness) readiness {
			r.time = seen.now
			r.registered++
			switch {
			case group == nil && hasTaint(node, toBeDeleted):
				r.deleted++
			case isReady(node):
				r.ready++
			case node.CreationTimestamp.Add(a.maxStartupTime).After(seen.now):
				r.notStarted++
			default:
				r.unready++
			}
			return r
		}
		s.total = one(s.total)
		if group != nil {
			s.readiness[group.Name] = one(s.readiness[group.Name])
		}
	}
	unregistered := make(map[string]time.Time)
	for name, group := range a.groups.all {
		for _, i := range group.Instances {
			if registered[i.providerID()] || i.HealthStatus == placeholderUnfulfillable {
				continue
			}
			since, known := s.unregistered[i.providerID()]
			if !known {
				since = seen.now
			}
			unregistered[i.providerID()] = since
			r := s.readiness[name]
			r.time = seen.now
			if since.Add(a.maxProvisionTime).Before(seen.now) {
				r.longUnregistered++
				s.total.longUnregistered++
			} else {
				r.unregistered++
				s.total.unregistered++
			}
			s.readiness[name] = r
		}
	}
	s.unregistered = unregistered
}

// upcoming is how many nodes of a group are still to come.
func (s *clusterState) upcoming(name string) int {
	r := s.readiness[name]
	return s.targets[name] - r.ready - r.unready - r.longUnregistered
}

func (s *clusterState) isScalingUp(name string) bool {
	return s.requests[name] != nil && s.upcoming(name) > 0
}

func (s *clusterState) isClusterHealthy() bool {
	const okUnready, maxUnreadyShare = 3, 0.45
	return s.total.unready <= okUnready || float64(s.total.unready) <= maxUnreadyShare*float64(s.total.registered)
}

func (s *clusterState) isGroupHealthy(name string) bool {
	const okUnready, maxUnreadyShare = 3, 0.45
	r, known := s.readiness[name]
	least := s.targets[name] - r.longUnregistered
	if request := s.requests[name]; request != nil {
		least -= request.increase
	}
	if !known {
		return s.targets[name] == 0 || least == 0
	}
	missing := max(least-r.ready, 0)
	return missing <= okUnready || float64(missing) <= maxUnreadyShare*float64(r.ready+r.unready+r.notStarted)
}

// updateRequests ends what came, and what took too long.
func (s *clusterState) updateRequests(now time.Time) {
	a := s.autoscaler
	for name, request := range s.requests {
		group := a.groups.all[name]
		if group == nil || s.upcoming(name) <= 0 {
			delete(s.requests, name)
			continue
		}
		if !request.until.Before(now) {
			continue
		}
		took := now.Sub(request.began)
		a.logEvent(v1.EventTypeWarning, "ScaleUpTimedOut", "Nodes added to group %s failed to register within %v", name, took)
		s.backOff(name, backoffInfo{"timeout", fmt.Sprintf("Scale-up timed out for node group %v after %v", name, took)}, now)
		if err := a.groups.decrease(group, request.increase); err != nil {
			a.logEvent(v1.EventTypeWarning, "FailedToRevertScaleUp", "Failed to decrease target size for group %s after scale-up timeout: %v", name, err)
		}
		delete(s.requests, name)
	}
}

// noteFailures tells of placeholders that cannot be fulfilled, once.
func (s *clusterState) noteFailures(now time.Time) {
	const message = "AWS cannot provision any more instances for this node group"
	failed := make(map[string]bool)
	for name, group := range s.autoscaler.groups.all {
		unseen := 0
		for _, i := range group.Instances {
			if i.HealthStatus != placeholderUnfulfillable {
				continue
			}
			failed[i.providerID()] = true
			if !s.failed[i.providerID()] {
				unseen++
			}
		}
		if unseen == 0 || !s.isScalingUp(name) {
			continue
		}
		s.autoscaler.logEvent(v1.EventTypeWarning, "ScaleUpFailed", "Failed adding %v nodes to group %v due to %v; source errors: %v",
			unseen, name, "OutOfResource."+placeholderUnfulfillable, message)
		s.register(name, -unseen, now)
		s.backOff(name, backoffInfo{placeholderUnfulfillable, message}, now)
	}
	s.failed = failed
}

// register notes that a group was asked to grow, or will grow by less.
func (s *clusterState) register(name string, delta int, now time.Time) {
	request := s.requests[name]
	if request == nil {
		if delta > 0 {
			s.requests[name] = &scaleUpRequest{delta, now, now.Add(s.autoscaler.maxProvisionTime)}
		}
		return
	}
	request.increase += delta
	if request.increase <= 0 {
		delete(s.requests, name)
	} else if delta > 0 {
		request.began, request.until = now, now.Add(s.autoscaler.maxProvisionTime)
	}
}

func (s *clusterState) backOff(name string, info backoffInfo, now time.Time) {
	a := s.autoscaler
	duration := a.initialBackoff
	if last := s.backoffs[name]; last != nil {
		duration = last.duration
		if last.until.Before(now) {
			duration = min(2*duration, a.maxBackoff)
		}
	}
	s.backoffs[name] = &backoff{duration, now.Add(duration), info}
	fmt.Fprintf(os.Stderr, "backing off from %s for %v\n", name, duration)
}

// backoffOf returns the back-off that a group is in, or nil.
func (s *clusterState) backoffOf(name string, now time.Time) *backoff {
	if last := s.backoffs[name]; last != nil && !last.until.Before(now) {
		return last
	}
	return nil
}

func hasTaint(node *v1.Node, key string) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == key {
			return true
		}
	}
	return false
}

// isReady says whether pods can start on a node: it is ready, and no start-up taint is left.
func isReady(node *v1.Node) bool {
	ready := false
	for _, c := range node.Status.Conditions {
		switch c.Type {
		case v1.NodeReady:
			ready = c.Status == v1.ConditionTrue
		case v1.NodeNetworkUnavailable, v1.NodeDiskPressure:
			if c.Status == v1.ConditionTrue {
				return false
			}
		}
	}
	for _, taint := range node.Spec.Taints {
		if isStartUp(taint.Key) || taint.Key == v1.TaintNodeNotReady || strings.HasPrefix(taint.Key, "node.cloudprovider.kubernetes.io/uninitialized") {
			return false
		}
	}
	return ready
}
