package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
)

// autoscaler stands in for the Cluster Autoscaler 1.36 with its AWS provider, which cannot be had as a Go
// module. Flags have its names, and its defaults unless said otherwise.
//
// Compared with recordings of the real one, field by field, by a test: events, status ConfigMap, taints.
// Real: client-go's event recorder with the autoscaler's own spam filter, the scheduler's own checks of
// resources, taints and node affinity, the API calls to the groups. Followed as observed: the order of a
// loop, registered and unregistered nodes, scale-up requests and their time limit, placeholders for
// machines that do not come, back-off, deletion of idle nodes, the groups' once-a-minute refresh.
// Not reproduced: DaemonSets, PodDisruptionBudgets, volumes, affinity between pods, spreading, moving pods
// together to empty a node (only idle nodes are removed, so safe-to-evict is always honoured), balancing
// of similar groups, resource quotas, EKS's own description of managed node groups.
type autoscaler struct {
	autoscalerOptions
	client   kubernetes.Interface
	recorder record.EventRecorder
	groups   *groupCache
	state    clusterState
	status   statusWriter
	down     scaleDown

	lastScaleUp map[string]time.Time // group -> when; "" for any
	mu          sync.Mutex           // one loop, or one deletion's end, at a time
}

type autoscalerOptions struct {
	awsFlags
	cluster, namespace                       string
	scanInterval, groupRefresh, eventWindow  time.Duration
	unneededTime, delayAfterAdd, deleteDelay time.Duration
	maxProvisionTime, maxStartupTime         time.Duration
	initialBackoff, maxBackoff, youngPods    time.Duration
	delayTypeLocal                           bool
	maxNodesTotal                            int
	utilizationThreshold                     float64
}

func newAutoscaler() *cobra.Command {
	o := autoscalerOptions{}
	c := &cobra.Command{Use: "autoscaler --kubeconfig FILE --aws-endpoint URL --cluster NAME", Short: "stand-in for the Cluster Autoscaler",
		SilenceUsage: true, Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return o.run() }}
	o.add(c)
	f := c.Flags()
	f.StringVar(&o.cluster, "cluster", "", "groups are found by the tags k8s.io/cluster-autoscaler/enabled and k8s.io/cluster-autoscaler/NAME")
	f.StringVar(&o.namespace, "namespace", "kube-system", "where the status ConfigMap is")
	f.DurationVar(&o.scanInterval, "scan-interval", 10*time.Second, "between two loops")
	f.DurationVar(&o.groupRefresh, "group-refresh", time.Minute, "how often it looks at the groups, and on SIGUSR1; the real one has no flag")
	f.DurationVar(&o.eventWindow, "event-window", 5*time.Minute, "one event for each reason and object; the real one has no flag")
	f.DurationVar(&o.youngPods, "young-pods", 2*time.Second, "how long an unschedulable pod alone is ignored; the real one has no flag")
	f.DurationVar(&o.unneededTime, "scale-down-unneeded-time", 10*time.Minute, "")
	f.DurationVar(&o.delayAfterAdd, "scale-down-delay-after-add", 10*time.Minute, "")
	f.BoolVar(&o.delayTypeLocal, "scale-down-delay-type-local", false, "that delay is of one group, not of all")
	f.DurationVar(&o.deleteDelay, "node-delete-delay-after-taint", 5*time.Second, "")
	f.Float64Var(&o.utilizationThreshold, "scale-down-utilization-threshold", 0.5, "")
	f.DurationVar(&o.maxProvisionTime, "max-node-provision-time", 15*time.Minute, "")
	f.DurationVar(&o.maxStartupTime, "max-node-startup-time", 15*time.Minute, "")
	f.DurationVar(&o.initialBackoff, "initial-node-group-backoff-duration", 5*time.Minute, "")
	f.DurationVar(&o.maxBackoff, "max-node-group-backoff-duration", 30*time.Minute, "")
	f.IntVar(&o.maxNodesTotal, "max-nodes-total", 0, "")
	_ = c.MarkFlagRequired("cluster")
	return c
}

func (o autoscalerOptions) run() error {
	client, err := o.client()
	if err != nil {
		return err
	}
	a := &autoscaler{autoscalerOptions: o, client: client, lastScaleUp: make(map[string]time.Time)}
	a.recorder = newRecorder(client, o.eventWindow, o.namespace)
	a.groups = newGroupCache(&aws{endpoint: o.endpoint, accessKey: "autoscaler"}, o.cluster, o.groupRefresh)
	a.state = newClusterState(a)
	a.status = statusWriter{client: client, namespace: o.namespace}
	a.down = scaleDown{autoscaler: a, unneeded: make(map[string]time.Time), deleting: make(map[string]bool)}
	if err := a.status.write(clusterAutoscalerStatus{AutoscalerStatus: "Initializing"}, time.Now()); err != nil {
		return err
	}
	look := make(chan os.Signal, 1)
	signal.Notify(look, syscall.SIGUSR1)
	go func() {
		for range look { // instead of waiting for the next refresh
			a.mu.Lock()
			a.groups.lastRefresh = time.Time{}
			a.mu.Unlock()
		}
	}()
	return untilAsked(func(ctx context.Context) {
		a.down.cleanUp()
		for ctx.Err() == nil {
			began := time.Now()
			if err := a.loop(began); err != nil {
				fmt.Fprintf(os.Stderr, "%s loop: %v\n", began.Format(time.RFC3339), err)
			}
			time.Sleep(time.Until(began.Add(o.scanInterval)))
		}
	})
}

// logEvent records an event on the status ConfigMap.
func (a *autoscaler) logEvent(kind, reason, format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{reason}, arguments...)...)
	if a.status.object != nil {
		a.recorder.Eventf(a.status.object, kind, reason, format, arguments...)
	}
}

// snapshot is what one loop sees of the cluster.
type snapshot struct {
	now   time.Time
	nodes []*v1.Node
	pods  []*v1.Pod
}

// loop is one look at everything, and at most one scale-up.
func (a *autoscaler) loop(now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := &snapshot{now: now}
	nodes, err := a.client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range nodes.Items {
		seen.nodes = append(seen.nodes, &nodes.Items[i])
	}
	pods, err := a.client.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range pods.Items {
		seen.pods = append(seen.pods, &pods.Items[i])
	}
	if err := a.groups.refresh(now); err != nil {
		return err
	}
	a.groups.learnTemplates(seen.nodes)
	a.state.update(seen)
	defer func() {
		if err := a.status.write(a.state.status(now), now); err != nil {
			fmt.Fprintln(os.Stderr, "status:", err)
		}
	}()
	a.removeUnregistered(now)
	if !a.state.isClusterHealthy() {
		a.logEvent(v1.EventTypeWarning, "ClusterUnhealthy", "Cluster is unhealthy")
		return nil
	}
	a.removePlaceholders()
	room := a.newRoom(seen)
	waiting := room.placeWaiting(seen.pods)
	scaled, isNew, err := a.scaleUp(seen, waiting, room)
	if err != nil {
		return err
	}
	a.down.run(seen, room, scaled || isNew)
	return nil
}

// removeUnregistered ends instances that gave no node for too long.
func (a *autoscaler) removeUnregistered(now time.Time) {
	for providerID, since := range a.state.unregistered {
		group := a.groups.ofInstance(providerID)
		if group == nil || !since.Add(a.maxProvisionTime).Before(now) || group.target <= group.Min {
			continue
		}
		if err := a.groups.deleteInstances(group, providerID); err != nil {
			a.logEvent(v1.EventTypeWarning, "DeleteUnregisteredFailed", "Failed to remove node %s: %v", providerID, err)
			continue
		}
		a.logEvent(v1.EventTypeNormal, "DeleteUnregistered", "Removed unregistered node %v", providerID)
	}
}

// removePlaceholders takes back what the groups cannot launch.
func (a *autoscaler) removePlaceholders() {
	for _, group := range a.groups.all {
		var failed []string
		for _, i := range group.Instances {
			if i.HealthStatus == placeholderUnfulfillable {
				failed = append(failed, i.providerID())
			}
		}
		if len(failed) == 0 {
			continue
		}
		if err := a.groups.deleteInstances(group, failed...); err != nil {
			fmt.Fprintln(os.Stderr, "placeholders:", err)
		}
		a.state.updateTarget(group)
	}
}
