package main

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The status as the Cluster Autoscaler writes it since 1.35: keys sorted, zero times null, an empty
// backoffInfo printed.
type clusterAutoscalerStatus struct {
	Time             string            `json:"time,omitempty"`
	AutoscalerStatus string            `json:"autoscalerStatus,omitempty"`
	Message          string            `json:"message,omitempty"`
	ClusterWide      clusterWideStatus `json:"clusterWide,omitempty"`
	NodeGroups       []groupStatus     `json:"nodeGroups,omitempty"`
}

type clusterWideStatus struct {
	Health    clusterHealth      `json:"health,omitempty"`
	ScaleUp   condition          `json:"scaleUp,omitempty"`
	ScaleDown scaleDownCondition `json:"scaleDown,omitempty"`
}

type groupStatus struct {
	Name      string             `json:"name,omitempty"`
	Health    groupHealth        `json:"health,omitempty"`
	ScaleUp   groupScaleUp       `json:"scaleUp,omitempty"`
	ScaleDown scaleDownCondition `json:"scaleDown,omitempty"`
}

type condition struct {
	Status             string      `json:"status,omitempty"`
	LastProbeTime      metav1.Time `json:"lastProbeTime,omitempty"`
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitempty"`
}

type clusterHealth struct {
	condition
	NodeCounts nodeCounts `json:"nodeCounts,omitempty"`
}

type groupHealth struct {
	condition
	NodeCounts          nodeCounts `json:"nodeCounts,omitempty"`
	CloudProviderTarget int        `json:"cloudProviderTarget"`
	MinSize             int        `json:"minSize"`
	MaxSize             int        `json:"maxSize"`
}

type groupScaleUp struct {
	condition
	BackoffInfo backoffInfo `json:"backoffInfo,omitempty"`
}

type scaleDownCondition struct {
	condition
	Candidates int `json:"candidates,omitempty"`
}

type backoffInfo struct {
	ErrorCode    string `json:"errorCode,omitempty"`
	ErrorMessage string `json:"errorMessage,omitempty"`
}

type nodeCounts struct {
	Registered struct {
		Total        int `json:"total"`
		Ready        int `json:"ready"`
		NotStarted   int `json:"notStarted"`
		Suspended    int `json:"suspended"`
		BeingDeleted int `json:"beingDeleted,omitempty"`
		Unready      struct {
			Total           int `json:"total"`
			ResourceUnready int `json:"resourceUnready"`
		} `json:"unready,omitempty"`
	} `json:"registered,omitempty"`
	LongUnregistered int `json:"longUnregistered"`
	Unregistered     int `json:"unregistered"`
}

// since keeps the time of the last transition while the status stays.
func (c condition) since(last condition) condition {
	c.LastTransitionTime = c.LastProbeTime
	if c.Status == last.Status {
		c.LastTransitionTime = last.LastTransitionTime
	}
	return c
}

func (s *clusterState) status(now time.Time) clusterAutoscalerStatus {
	last := make(map[string]groupStatus)
	for _, group := range s.lastStatus.NodeGroups {
		last[group.Name] = group
	}
	status := clusterAutoscalerStatus{AutoscalerStatus: "Running", NodeGroups: []groupStatus{}}
	probed, lastDown := metav1.Time{Time: s.total.time}, metav1.Time{Time: s.scaleDownProbed}
	progress, candidates := "NoActivity", 0
	for name, group := range s.autoscaler.groups.all { // in Go's order, as the real one
		ready := s.readiness[name]
		at := metav1.Time{Time: ready.time}
		one := groupStatus{Name: name}
		one.Health = groupHealth{NodeCounts: ready.counts(), CloudProviderTarget: s.targets[name], MinSize: group.Min, MaxSize: group.Max}
		one.Health.condition = condition{Status: health(s.isGroupHealthy(name)), LastProbeTime: at}.since(last[name].Health.condition)
		up := "NoActivity"
		if backoff := s.backoffOf(name, now); s.isScalingUp(name) {
			up, progress = "InProgress", "InProgress"
		} else if !s.isGroupHealthy(name) {
			up = "Unhealthy"
		} else if backoff != nil {
			up, one.ScaleUp.BackoffInfo = "Backoff", backoff.info
		}
		one.ScaleUp.condition = condition{Status: up, LastProbeTime: at}.since(last[name].ScaleUp.condition)
		one.ScaleDown = scaleDownStatus(s.candidates[name], lastDown, last[name].ScaleDown)
		candidates += s.candidates[name]
		status.NodeGroups = append(status.NodeGroups, one)
	}
	before := s.lastStatus.ClusterWide
	status.ClusterWide.Health.NodeCounts = s.total.counts()
	status.ClusterWide.Health.condition = condition{Status: health(s.isClusterHealthy()), LastProbeTime: probed}.since(before.Health.condition)
	status.ClusterWide.ScaleUp = condition{Status: progress, LastProbeTime: probed}.since(before.ScaleUp)
	status.ClusterWide.ScaleDown = scaleDownStatus(candidates, lastDown, before.ScaleDown)
	s.lastStatus = status
	return status
}

func health(isHealthy bool) string {
	if isHealthy {
		return "Healthy"
	}
	return "Unhealthy"
}

func scaleDownStatus(candidates int, probed metav1.Time, last scaleDownCondition) scaleDownCondition {
	status := "NoCandidates"
	if candidates > 0 {
		status = "CandidatesPresent"
	}
	return scaleDownCondition{Candidates: candidates, condition: condition{Status: status, LastProbeTime: probed}.since(last.condition)}
}

func (r readiness) counts() nodeCounts {
	counts := nodeCounts{LongUnregistered: r.longUnregistered, Unregistered: r.unregistered}
	counts.Registered.Total, counts.Registered.Ready, counts.Registered.NotStarted = r.registered, r.ready, r.notStarted
	counts.Registered.BeingDeleted, counts.Registered.Unready.Total = r.deleted, r.unready
	return counts
}
