package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
)

// orders is the way from `real` outside to what is inside: a line each, answered in any order.
type orders struct {
	mu      sync.Mutex
	pipe    io.Writer
	pending map[string]chan string
}

func (o *orders) send(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = fmt.Fprintln(o.pipe, line)
}

// give sends an order and waits until it is done.
func (o *orders) give(line string) error {
	answer := make(chan string, 1)
	o.mu.Lock()
	o.pending[line] = answer
	o.mu.Unlock()
	o.send(line)
	if failure := <-answer; failure != "" {
		return errors.New(failure)
	}
	return nil
}

// deliver hands an answer to who waits for it, if anyone does.
func (o *orders) deliver(answer map[string]any) bool {
	line, _ := answer["order"].(string)
	o.mu.Lock()
	defer o.mu.Unlock()
	waiting, ok := o.pending[line]
	if ok {
		failure, _ := answer["error"].(string)
		waiting <- failure
		delete(o.pending, line)
	}
	return ok
}

// obeyAll does what the lines of standard input say, until the tier ends. A node that starts gets its
// images meanwhile; its kubelet is started from this thread again.
func (o *realTier) obeyAll(f *family) error {
	lines, prepared := make(chan string), make(chan func() (string, error))
	go func() {
		for input := bufio.NewScanner(os.Stdin); input.Scan(); {
			lines <- input.Text()
		}
	}()
	for {
		var err error
		select {
		case err = <-f.failed:
			fmt.Fprintln(os.Stderr, "error:", err)
		case finish := <-prepared:
			err = answered(finish())
		case order := <-lines:
			if text, ok := strings.CutPrefix(order, "start-node "); ok {
				n, failure := o.addNode(text, f)
				if failure != nil {
					err = answered(order, failure)
					break
				}
				go func() {
					failure := n.importImages()
					prepared <- func() (string, error) {
						if failure == nil {
							failure = n.startKubelet(f, &o.controlPlane)
						}
						return order, failure
					}
				}()
				break
			}
			err = answered(order, o.obey(order, f))
		}
		if err != nil {
			return err
		}
	}
}

// obey does one order: one of the control plane's, `stop-kubelet NODE` (it is silent from then on),
// `start-kubelet NODE`, or `stop-node NODE` (the machine is gone, with all that ran on it).
func (o *realTier) obey(order string, f *family) error {
	if known, err := o.controlPlane.obey(order, f, nil); known {
		return err
	}
	verb, name, _ := strings.Cut(order, " ")
	for i, n := range o.nodes {
		if n.name != name {
			continue
		}
		switch verb {
		case "stop-kubelet":
			f.kill(n.kubelet)
			return nil
		case "start-kubelet":
			return n.startKubelet(f, &o.controlPlane)
		case "stop-node":
			o.nodes = append(o.nodes[:i:i], o.nodes[i+1:]...)
			return n.destroy(f)
		}
	}
	return fmt.Errorf("want start-node NODE [labels=...] [taints=...] [provider-id=...], stop-node NODE, stop-kubelet NODE, start-kubelet NODE or %s", controlPlaneOrders)
}

// addNode has a node's runtime start, under the first number that is free.
func (o *realTier) addNode(text string, f *family) (*node, error) {
	index := 1
	for again := true; again; {
		again = false
		for _, other := range o.nodes {
			if other.index == index {
				index, again = index+1, true
			}
		}
	}
	n, err := parseNode(text, index)
	if err != nil {
		return nil, err
	}
	n.tier = o
	o.nodes = append(o.nodes, n)
	return n, n.prepare(f)
}

// driveInstances makes real machines of the instances of Auto Scaling groups.
func (o *realTier) driveInstances() {
	log, err := os.OpenFile(filepath.Join(o.dir, "logs", "instances.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, "instances:", err)
		return
	}
	client, err := (&awsFlags{kubeconfig: o.userConfig("admin")}).client()
	if err != nil {
		fmt.Fprintln(os.Stderr, "instances:", err)
		return
	}
	newInstanceDriver(o.awsEndpoint, &realMachines{o.orders, client}, log).run(context.Background())
}

// realMachines are kubelets, each with a containerd. What a test may order of simulated nodes and is not
// theirs is left out: never_ready and allocatable.
type realMachines struct {
	orders *orders
	client kubernetes.Interface
}

func (m *realMachines) start(node *v1.Node, _ bool) error {
	var labels, taints []string
	for key, value := range node.Labels {
		if key != v1.LabelHostname && key != v1.LabelOSStable && key != v1.LabelArchStable { // the kubelet's own
			labels = append(labels, key+"="+value)
		}
	}
	for _, taint := range node.Spec.Taints {
		taints = append(taints, fmt.Sprintf("%s=%s:%s", taint.Key, taint.Value, taint.Effect))
	}
	return m.orders.give(fmt.Sprintf("start-node %s labels=%s taints=%s provider-id=%s", node.Name, strings.Join(labels, ","), strings.Join(taints, ","), node.Spec.ProviderID))
}

func (m *realMachines) stop(name string) error {
	if err := m.orders.give("stop-node " + name); err != nil {
		return err
	}
	return deleteNode(m.client, name)
}
