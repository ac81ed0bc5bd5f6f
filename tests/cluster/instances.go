package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// machines turn instances of Auto Scaling groups into nodes, and end them again.
type machines interface {
	start(node *v1.Node, ready bool) error
	stop(node string) error
}

// instanceDriver looks at the groups again and again, and has a machine for each instance in service. A
// machine whose instance is gone dies, and its node object is removed as a cloud's controller would.
type instanceDriver struct {
	aws      *aws
	machines machines
	began    map[string]time.Time // instance -> seen in service
	running  map[string]*machine  // by instance
	log      io.Writer
}

// machine is what becomes of one instance. Starting and stopping takes time, and others do not wait for it.
type machine struct {
	node string
	busy atomic.Bool
	gone atomic.Bool
}

func newInstanceDriver(endpoint string, m machines, log io.Writer) *instanceDriver {
	return &instanceDriver{aws: &aws{endpoint: endpoint, accessKey: "instances"}, machines: m, began: make(map[string]time.Time), running: make(map[string]*machine), log: log}
}

func (d *instanceDriver) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := d.once(); err != nil {
			fmt.Fprintln(d.log, err)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

func (d *instanceDriver) once() error {
	found, err := d.aws.inService()
	if err != nil {
		return err
	}
	alive, due := make(map[string]bool), make(map[string]steering)
	for _, group := range found {
		for _, id := range group.Instances {
			alive[id] = true
			if _, seen := d.began[id]; !seen {
				d.began[id] = time.Now()
			}
			at := d.began[id].Add(time.Duration(group.Order.JoinSeconds * float64(time.Second)))
			if d.running[id] == nil && !group.Order.NeverJoin && !time.Now().Before(at) {
				due[id] = group.Order
			}
		}
	}
	if len(due) > 0 {
		groups, err := d.aws.groups()
		if err != nil {
			return err
		}
		for _, group := range groups {
			for _, i := range group.Instances {
				if order, is := due[i.ID]; is {
					node := join(group, i, order)
					d.running[i.ID] = &machine{node: node.Name}
					d.running[i.ID].do(d.log, "starting", false, func() error { return d.machines.start(node, !order.NeverReady) })
				}
			}
		}
	}
	for id, m := range d.running {
		switch {
		case m.gone.Load():
			delete(d.running, id)
		case !alive[id] && !m.busy.Load():
			m.do(d.log, "stopping", true, func() error { return d.machines.stop(m.node) })
		}
	}
	return nil
}

// do works on a machine beside others. What failed is tried again: a machine that could not start is gone.
func (m *machine) do(log io.Writer, what string, isEnd bool, work func() error) {
	m.busy.Store(true)
	go func() {
		err := work()
		if err != nil {
			fmt.Fprintf(log, "%s %s: %v\n", what, m.node, err)
		}
		m.gone.Store(isEnd == (err == nil))
		m.busy.Store(false)
	}()
}

// kwokMachines are nodes that kwok keeps alive.
type kwokMachines struct{ client kubernetes.Interface }

func (m *kwokMachines) start(node *v1.Node, ready bool) error {
	node.Annotations = map[string]string{"kwok.x-k8s.io/node": "fake"}
	if !ready {
		node.Annotations["kwok.test/ready"] = "false"
	}
	_, err := m.client.CoreV1().Nodes().Create(context.Background(), node, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (m *kwokMachines) stop(name string) error { return deleteNode(m.client, name) }

func deleteNode(client kubernetes.Interface, name string) error {
	err := client.CoreV1().Nodes().Delete(context.Background(), name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// awsFlags are those of whatever speaks to both the cluster and the Auto Scaling API.
type awsFlags struct{ kubeconfig, endpoint string }

func (o *awsFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "of an administrator")
	c.Flags().StringVar(&o.endpoint, "aws-endpoint", "", "the Auto Scaling API of tests/aws")
	_ = c.MarkFlagRequired("kubeconfig")
	_ = c.MarkFlagRequired("aws-endpoint")
}

func (o *awsFlags) client() (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = -1, 0
	return kubernetes.NewForConfig(config)
}

func newInstances() *cobra.Command {
	o := &awsFlags{}
	c := &cobra.Command{Use: "instances --kubeconfig FILE --aws-endpoint URL", Short: "instances of Auto Scaling groups become simulated nodes",
		SilenceUsage: true, Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			client, err := o.client()
			if err != nil {
				return err
			}
			return untilAsked(newInstanceDriver(o.endpoint, &kwokMachines{client}, os.Stderr).run)
		}}
	o.add(c)
	return c
}

// untilAsked announces readiness and works until standard input ends or a signal comes.
func untilAsked(work func(context.Context)) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go work(ctx)
	if err := announce(map[string]any{"pid": os.Getpid(), "command": strings.Join(os.Args, " ")}); err != nil {
		return err
	}
	<-signals(true, func(string) {})
	return nil
}
