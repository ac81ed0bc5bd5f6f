package main

import (
	"fmt"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

const (
	placeholderPrefix        = "i-placeholder"
	placeholderUnfulfillable = "placeholder-cannot-be-fulfilled"
	// Taints of the autoscaler's own, of start-up and of a node's health are no part of a template.
	toBeDeleted       = "ToBeDeletedByClusterAutoscaler"
	deletionCandidate = "DeletionCandidateOfClusterAutoscaler"
)

// cachedGroup is a group as the autoscaler remembers it.
type cachedGroup struct {
	autoScalingGroup
	target     int       // desired capacity, changed by own calls at once
	lastUpdate time.Time // of the last own call
	template   *v1.Node
}

// groupCache is the autoscaler's memory of the groups. It is up to a refresh interval old, as the real one's:
// instances and nodes that came since belong to no group yet.
type groupCache struct {
	aws           *aws
	tags          []string
	interval      time.Duration
	lastRefresh   time.Time
	all           map[string]*cachedGroup
	byInstance    map[string]*cachedGroup // provider id -> group
	instanceTypes map[string]string       // launch template or override -> type
}

func newGroupCache(api *aws, cluster string, interval time.Duration) *groupCache {
	return &groupCache{aws: api, interval: interval, all: make(map[string]*cachedGroup), instanceTypes: make(map[string]string),
		tags: []string{"k8s.io/cluster-autoscaler/enabled", "k8s.io/cluster-autoscaler/" + cluster}}
}

func (c *groupCache) ofInstance(providerID string) *cachedGroup { return c.byInstance[providerID] }
func (c *groupCache) ofNode(node *v1.Node) *cachedGroup         { return c.byInstance[node.Spec.ProviderID] }

// refresh looks at the groups, if it is time.
func (c *groupCache) refresh(now time.Time) error {
	if c.lastRefresh.Add(c.interval).After(now) {
		return nil
	}
	found, err := c.aws.groups(c.tags...)
	if err != nil {
		return err
	}
	all, byInstance := make(map[string]*cachedGroup), make(map[string]*cachedGroup)
	for _, group := range found {
		cached := c.all[group.Name]
		if cached == nil {
			cached = &cachedGroup{}
		}
		c.addPlaceholders(&group, cached.lastUpdate, c.all[group.Name] != nil)
		cached.autoScalingGroup, cached.target = group, group.Desired
		for _, i := range group.Instances {
			byInstance[i.providerID()] = cached
		}
		all[group.Name] = cached
		if cached.template == nil {
			kind, err := c.aws.instanceType(group)
			if err != nil {
				return err
			}
			cached.template = nodeOf(group, "template-of-"+group.Name, kind, group.Zones[0])
		}
	}
	c.all, c.byInstance, c.lastRefresh = all, byInstance, now
	return nil
}

// addPlaceholders stands instances in for those that the group wants and does not have. One activity that
// failed since the last own call says that they will not come.
func (c *groupCache) addPlaceholders(group *autoScalingGroup, lastUpdate time.Time, isKnown bool) {
	missing := group.Desired - len(group.Instances)
	if missing <= 0 {
		return
	}
	health := ""
	if activities, err := c.aws.activities(group.Name); err == nil && isKnown {
		for _, activity := range activities {
			if activity.StartTime.Before(lastUpdate) {
				break
			}
			if activity.StatusCode == "Failed" {
				health = placeholderUnfulfillable
				break
			}
		}
	}
	for i := len(group.Instances); i < group.Desired; i++ {
		group.Instances = append(group.Instances, instance{ID: fmt.Sprintf("%s-%s-%d", placeholderPrefix, group.Name, i), Zone: group.Zones[0], HealthStatus: health})
	}
}

// learnTemplates takes a group's first ready node for the template of all, for ever: what the real one does.
func (c *groupCache) learnTemplates(nodes []*v1.Node) {
	for _, node := range nodes {
		group := c.ofNode(node)
		if group == nil || !isReady(node) || group.template.Spec.ProviderID != "" || hasTaint(node, toBeDeleted) {
			continue
		}
		template := node.DeepCopy()
		template.Name = "template-of-" + group.Name
		template.Labels[v1.LabelHostname] = template.Name
		template.Spec.Unschedulable = false
		template.Spec.Taints = nil
		for _, taint := range node.Spec.Taints {
			if !isPassing(taint.Key) {
				template.Spec.Taints = append(template.Spec.Taints, taint)
			}
		}
		group.template = template
	}
}

// isPassing says whether a taint is of a node's present state, not of its group.
func isPassing(key string) bool {
	for _, prefix := range []string{"node.kubernetes.io/", "node.cloudprovider.kubernetes.io/"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return key == toBeDeleted || key == deletionCandidate || isStartUp(key)
}

func isStartUp(key string) bool {
	return strings.HasPrefix(key, "startup-taint.cluster-autoscaler.kubernetes.io/") || strings.HasPrefix(key, "ignore-taint.cluster-autoscaler.kubernetes.io/")
}

func (c *groupCache) setSize(group *cachedGroup, size int) error {
	began := time.Now()
	if err := c.aws.setDesired(group.Name, size); err != nil {
		return err
	}
	group.target, group.lastUpdate = size, began
	return nil
}

// decrease takes back what was asked for and has not come, never what is there.
func (c *groupCache) decrease(group *cachedGroup, by int) error {
	if group.target-by < len(group.Instances) {
		return fmt.Errorf("attempt to delete existing nodes targetSize:%d delta:%d existingNodes: %d", group.target, -by, len(group.Instances))
	}
	return c.setSize(group, group.target-by)
}

// deleteInstances ends instances; for placeholders, the group is to want what it has. Then the groups are
// looked at again.
func (c *groupCache) deleteInstances(group *cachedGroup, providerIDs ...string) error {
	if group.target <= group.Min {
		return fmt.Errorf("min size reached, nodes will not be deleted")
	}
	c.lastRefresh = time.Time{}
	hasPlaceholder := false
	for _, providerID := range providerIDs {
		id := providerID[strings.LastIndex(providerID, "/")+1:]
		if strings.HasPrefix(id, placeholderPrefix) {
			hasPlaceholder = true
			continue
		}
		if err := c.aws.terminate(id); err != nil {
			return err
		}
		group.target--
	}
	if !hasPlaceholder {
		return nil
	}
	current, err := c.aws.groups(c.tags...)
	if err != nil {
		return err
	}
	for _, found := range current {
		if found.Name == group.Name {
			return c.setSize(group, len(found.Instances))
		}
	}
	return fmt.Errorf("group %s is gone", group.Name)
}
